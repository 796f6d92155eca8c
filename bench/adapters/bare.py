"""Our commands over a socket that blocks, one after another, with as good as nothing around them.

No contender but a bound: whoever gives one command at a time and does more between a reply and the next command
is slower than this. It renews no lease, and a job that fails ends it.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from auth_worker.brokers.redis.additions import Additions, add_scripts
from auth_worker.brokers.redis.scripts.frames import WorkerFrames, frame_scripts
from auth_worker.brokers.redis.wire.resp import pack
from auth_worker.config import WorkerConfig
from auth_worker.core.policy import JobPolicy
from bench.adapters import child
from bench.wire import Wire

PREFIX, TOKEN = "bull", "bare"
BLOCK_S = 0.5


class Producer:
    """Adds jobs to ``queue``."""

    def __init__(self, wire: Wire, queue: str) -> None:
        self._wire = wire
        self._frame = Additions(PREFIX, queue).frame({})
        wire.load(script.text for script in add_scripts())
        self._added = 0

    def add(self, data: Mapping[str, Any]) -> None:
        """Add a job."""
        self._added += 1
        values = self._frame.values("noop", json.dumps(data).encode(), f"bare-{self._added}", _now())
        self._wire.ask(self._frame.fill(*values))


class Worker:
    """Works on ``queue`` in a thread of its own, a job at a time, until it is stopped."""

    def __init__(self, wire: Wire, bell: Wire, queue: str, consume: Callable[[Any], Any]) -> None:
        self._wire = wire
        self._bell = bell
        self._consume = consume
        config = WorkerConfig(lock_duration=child.LOCK_MS)
        self._frames = WorkerFrames(PREFIX, queue, config, "bare")
        self._fetch_options = self._frames.fetch_options(TOKEN)
        self._finish_options = self._frames.finish_options(JobPolicy({}, config), TOKEN, "completed")
        self._key_prefix = f"{PREFIX}:{queue}:"
        wire.load(script.text for script in frame_scripts())
        self._stopping = False
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def stop(self) -> None:
        """Finish the job and end."""
        self._stopping = True
        self._thread.join()

    def _work(self) -> None:
        ring = pack("BZPOPMIN", f"{self._key_prefix}marker", BLOCK_S)
        while not self._stopping:
            self._bell.ask(ring)
            reply = self._wire.ask(self._frames.fetch.fill(b"%d" % _now(), self._fetch_options))
            while isinstance(reply, list) and reply[0]:
                fields, job_id, *_ = reply
                pairs = iter(fields)
                _run(self._consume(json.loads(dict(zip(pairs, pairs, strict=True))[b"data"])))
                reply = self._complete(job_id)

    def _complete(self, job_id: bytes) -> Any:
        """Write the result; gives the reply, with the job that was fetched along with it."""
        frame = self._frames.complete[True]
        key = self._key_prefix.encode() + job_id
        call = (frame, (key, job_id, b"%d" % _now(), b"null", self._finish_options))
        return self._wire.ask(frame.batch.alone(call))


class Bare:
    """A producer, or a worker on the first queue."""

    def __init__(self) -> None:
        self._wires: list[Wire] = []
        self._producer: Producer | None = None
        self._worker: Worker | None = None

    async def start(self, order: child.Order, consume: Callable[[Mapping[str, Any]], Awaitable[None]]) -> None:
        """As the protocol says."""
        self._wires = [Wire(order.port), Wire(order.port)]
        if order.role == "producer":
            self._producer = Producer(self._wires[0], order.queues[0])
        else:
            wire, bell = self._wires
            self._worker = Worker(wire, bell, order.queues[0], consume)

    async def add(self, data: Mapping[str, Any]) -> None:
        """As the protocol says."""
        assert self._producer is not None
        self._producer.add(data)

    async def add_bulk(self, data: list[Mapping[str, Any]]) -> None:
        """As the protocol says."""
        for each in data:
            await self.add(each)

    async def stop(self) -> None:
        """As the protocol says."""
        if self._worker is not None:
            await asyncio.to_thread(self._worker.stop)
        for wire in self._wires:
            wire.close()


def _run(consumer: Any) -> None:
    """Run a consumer that awaits nothing to its end."""
    try:
        consumer.send(None)
    except StopIteration:
        return
    raise RuntimeError("the consumer awaits something, which a worker without a loop cannot do")


def _now() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    asyncio.run(child.serve(Bare()))
