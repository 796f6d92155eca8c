"""What the Python contenders have in common: the JSON lines they answer, and what their consumer counts.

Node's side is ``node.mjs``; it answers the same lines in the same way.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

ROW = {"id": 4711, "name": "Zoë Müller", "amount": 1234.5, "paid": True, "tags": ["new", "vip"], "note": None}
MAIL = {"email": "somebody@example.com", "name": "Some Body", "token": "4f2c9a1e7b", "locale": "en"}
ADD_IN_BULK = 1000
KEPT_COMPLETED, KEPT_FAILED = 1000, 5000
LOCK_MS = STALLED_MS = 60_000


@dataclass(frozen=True)
class Order:
    """What a contender is to be: a worker on ``queues``, or a producer for the first of them."""

    role: str
    port: int
    queues: list[str]
    concurrency: int
    sleep_ms: int
    log_jobs: bool
    execution: str = "auto"
    typed: bool = False


class Contender(Protocol):
    """A client library, as a worker or as a producer."""

    async def start(self, order: Order, consume: Callable[[Mapping[str, Any]], Awaitable[None]]) -> None:
        """Connect; a worker works from now on, and has ``consume`` see the data of each job."""

    async def add(self, data: Mapping[str, Any]) -> None:
        """Add one job."""

    async def add_bulk(self, data: list[Mapping[str, Any]]) -> None:
        """Add many jobs."""

    async def stop(self) -> None:
        """Disconnect."""


def payload(index: int, kilobytes: int = 0) -> dict[str, Any]:
    """The data of a job: that of a verification mail, and its number; with ``kilobytes`` so many of rows too."""
    data = {"i": index, "type": "sendVerificationEmail", "data": MAIL}
    if kilobytes:
        data["rows"] = [ROW] * (
            kilobytes * 1024 // len(json.dumps(ROW, separators=(",", ":"), ensure_ascii=False))
        )
    return data


class _Tally:
    """What the consumer saw of the jobs."""

    def __init__(self, sleep_ms: int) -> None:
        self._sleep = sleep_ms / 1000
        self.expect(0, 0)

    def expect(self, size: int, done_at: int) -> None:
        """Begin anew: jobs 0 to ``size`` - 1 will come; say ``done`` when ``done_at`` of them have started."""
        self._seen = bytearray(size)
        self._done_at = done_at
        self.runs = self.first_us = self.last_us = 0
        self.waits: list[float] = []

    @property
    def distinct(self) -> int:
        return sum(self._seen)

    async def consume(self, data: Mapping[str, Any]) -> None:
        """The consumer."""
        self.runs += 1
        self._seen[data["i"]] = 1
        if "t" in data:
            self.waits.append(now_us() - data["t"])
        if self.runs == 1:
            self.first_us = now_us()
        if self.runs == self._done_at:
            self.last_us = now_us()
            _say("done")
        if self._sleep:
            await asyncio.sleep(self._sleep)


def now_us() -> int:
    """The monotonic clock, which all processes share, in us."""
    return time.monotonic_ns() // 1000


def cpu_us() -> float:
    """The CPU time this process has used, in us."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return (usage.ru_utime + usage.ru_stime) * 1e6


def _say(event: str, **values: Any) -> None:
    sys.stdout.write(json.dumps({"event": event, **values}) + "\n")
    sys.stdout.flush()


async def serve(contender: Contender) -> None:
    """Do what the first argument orders, then what stdin asks for, until it ends."""
    order = Order(**json.loads(sys.argv[1]))
    tally = _Tally(order.sleep_ms if order.execution == "auto" else 0)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await contender.start(order, tally.consume)
    _say("ready")
    while line := await reader.readline():
        request = json.loads(line)
        match op := request["op"]:
            case "expect":
                tally.expect(request["size"], request["done_at"])
                _say(op)
            case "stats":
                counts = {"runs": tally.runs, "distinct": tally.distinct, "waits_us": tally.waits}
                _say(op, cpu_us=cpu_us(), first_us=tally.first_us, last_us=tally.last_us, **counts)
            case "add":
                cpu, start = cpu_us(), time.perf_counter()
                await _add(contender, request["count"], request["in_flight"], request["kilobytes"])
                _say(op, seconds=time.perf_counter() - start, cpu_us=cpu_us() - cpu)
            case "stop":
                await contender.stop()
                _say(op)
                return


async def _add(contender: Contender, count: int, in_flight: int, kilobytes: int) -> None:
    """Add so many jobs, ``in_flight`` at a time, or in bulk where that is 0."""
    if not in_flight:
        for start in range(0, count, ADD_IN_BULK):
            end = min(start + ADD_IN_BULK, count)
            await contender.add_bulk([payload(index, kilobytes) for index in range(start, end)])
        return
    indexes = iter(range(count))

    async def lane() -> None:
        for index in indexes:
            await contender.add(payload(index, kilobytes))

    await asyncio.gather(*(lane() for _ in range(in_flight)))
