"""The two sides of a scenario: Node's worker on one database, ours on another, the same producers for both."""

from __future__ import annotations

import asyncio
import itertools
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from redis.asyncio import Redis

from auth_worker import QueueProcessorService, Settings
from auth_worker.errors import Delay, RateLimited, UnrecoverableError, WaitForChildren
from auth_worker.job import Job
from conformance.picture import Picture, differences, take
from conformance.scenarios import Run, Scenario

NODE_DB, OUR_DB = 0, 1
TIMEOUT = 15.0
POLL = 0.02
SETTLE = 4.0
"""How long (s) the two sides may differ in what comes and goes: markers, limits, timers."""
WORKER: dict[str, Any] = {
    "concurrency": 1,
    "name": "pod-7",
    "lockDuration": 30_000,
    "stalledInterval": 30_000,
    "maxStalledCount": 1,
}
"""Options that both workers are given by the same names."""
OURS: dict[str, Any] = {"attempts": 1, "removeOnComplete": {"count": -1}, "removeOnFail": {"count": -1}}
"""What Node has where nothing is said."""


class Node:
    """The Node process; lives in one event loop."""

    def __init__(self, process: asyncio.subprocess.Process, errors: Any) -> None:
        self._process = process
        self._errors = errors
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._ids = itertools.count(1)
        self._reader = asyncio.create_task(self._read(), name="node replies")

    @classmethod
    async def start(cls, host: str, port: int) -> Self:
        """Start it. Raises ``OSError``."""
        errors = tempfile.TemporaryFile()  # noqa: SIM115 - until stop
        driver = Path(__file__).with_name("driver.mjs")
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            "node", str(driver), host, str(port), stdin=pipe, stdout=pipe, stderr=errors, limit=2**20
        )
        return cls(process, errors)

    async def call(self, op: str, *args: Any) -> Any:
        """Run an operation of driver.mjs. Raises ``RuntimeError`` with Node's error, or ``TimeoutError``."""
        number = next(self._ids)
        reply = self._waiting[number] = asyncio.get_running_loop().create_future()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"id": number, "op": op, "args": args}).encode() + b"\n")
        return await asyncio.wait_for(reply, TIMEOUT)

    async def stop(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        await asyncio.wait_for(self._process.wait(), TIMEOUT)
        await self._reader
        self._errors.close()

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            reply = json.loads(line)
            future = self._waiting.pop(reply["id"])
            if future.done():
                continue
            if "error" in reply:
                future.set_exception(RuntimeError(reply["error"]))
            else:
                future.set_result(reply.get("result"))
        self._errors.seek(0)
        for future in self._waiting.values():
            future.set_exception(RuntimeError(f"Node has ended: {self._errors.read()[-2000:]!r}"))


class Side:
    """Producers, and a worker for each queue, on one database."""

    def __init__(self, node: Node, url: str, db: int, scenario: Scenario) -> None:
        self.node = node
        self.db = db
        self.scenario = scenario
        self.url = f"{url.rpartition('/')[0]}/{db}"
        self.redis: Any = Redis.from_url(self.url)

    async def produce(self, op: str, args: Sequence[Any]) -> None:
        await self.node.call(op, self.db, *args)

    async def start(self) -> None:
        """Start Node's worker."""
        for queue in self.scenario.queues:
            options = {**WORKER, **self.scenario.worker}
            await self.node.call("start", self.db, queue, self.scenario.script, options)

    async def release(self) -> None:
        """Let go on what stands at ``hold``."""
        await self.node.call("release")

    async def stop(self) -> None:
        """Stop the workers, once what runs has ended."""
        await self.node.call("stop")

    async def until(self, queue: str, counts: Mapping[str, int]) -> None:
        """Wait until the queue has these jobs and no others. Raises ``TimeoutError``."""
        deadline = time.monotonic() + TIMEOUT
        while (found := await self._counts(queue)) != {state: count for state, count in counts.items() if count}:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{type(self).__name__}: {queue} has {found}, not {dict(counts)}")
            await asyncio.sleep(POLL)

    async def _counts(self, queue: str) -> dict[str, int]:
        counts = await self.node.call("queue", self.db, queue, "getJobCounts")
        return {state: count for state, count in counts.items() if count}

    async def close(self) -> None:
        await self.redis.aclose()


class OurSide(Side):
    """As ``Side``, with our workers."""

    def __init__(self, node: Node, url: str, db: int, scenario: Scenario) -> None:
        super().__init__(node, url, db, scenario)
        self._workers: list[QueueProcessorService] = []
        self._runs: dict[str, int] = {}
        self._release = asyncio.Event()

    async def start(self) -> None:
        """Start our worker."""
        for queue in self.scenario.queues:
            worker = QueueProcessorService(
                queue_name=queue,
                processor=self._consume,
                connection=self.url,
                worker_config={**WORKER, **OURS, **self.scenario.worker},
                dead_letter_queue_name=self.scenario.dead_letters,
                settings=Settings(http_port=None, log_level="ERROR"),
            )
            await worker.initialize()
            self._workers.append(worker)

    async def release(self) -> None:
        self._release.set()

    async def stop(self) -> None:
        workers, self._workers = self._workers, []
        await asyncio.gather(*(worker.close(TIMEOUT) for worker in workers))

    async def _consume(self, job: Job) -> Any:
        run = self._runs[job.id] = self._runs.get(job.id, 0) + 1
        takes = self.scenario.script.get(job.name, [[]])
        return await self.play(takes[min(run, len(takes)) - 1], job)

    async def play(self, steps: Run, job: Job) -> Any:
        """Play one run of a job; JavaScript's twin is ``play`` in driver.mjs."""
        for step, value in steps:
            match step:
                case "log":
                    await job.log(value)
                case "progress":
                    await job.update_progress(value)
                case "hold":
                    await self._release.wait()
                case "wait":
                    await asyncio.sleep(value / 1000)
                case "child":
                    name, options = value
                    parent = {"id": job.id, "queue": f"bull:{job.queue_name}"}
                    await self.produce("queue", ["kids", "add", name, {}, {**options, "parent": parent}])
                case "childrenValues":
                    return await job.children_values()
                case "returns":
                    return value
                case "throws":
                    raise RuntimeError(value)
                case "unrecoverable":
                    raise UnrecoverableError(value)
                case "delay":
                    raise Delay(value / 1000)
                case "rateLimit":
                    raise RateLimited(value / 1000)
                case "awaitChildren":
                    raise WaitForChildren
        return None


class Pair:
    """Both sides of a scenario; ``known`` says of a difference whether it is meant to be."""

    def __init__(self, node: Node, url: str, scenario: Scenario, known: Callable[[str], bool]) -> None:
        self.scenario = scenario
        self._known = known
        self.sides = Side(node, url, NODE_DB, scenario), OurSide(node, url, OUR_DB, scenario)

    async def play(self) -> list[tuple[str, Any, Any]]:
        """Take every step on both sides; returns what differs at the first ``until`` where anything does."""
        for kind, *args in self.scenario.steps:
            match kind:
                case "sleep":
                    await asyncio.sleep(args[0] / 1000)
                case "clock":
                    every, room, offset = args
                    left = every - (time.time() - offset) % every
                    await asyncio.sleep(left + 0.01 if left < room else 0)
                case "start":
                    await asyncio.gather(*(side.start() for side in self.sides))
                case "release":
                    await asyncio.gather(*(side.release() for side in self.sides))
                case "reach":
                    await asyncio.gather(*(side.until(*args) for side in self.sides))
                case "until":
                    await asyncio.gather(*(side.until(*args) for side in self.sides))
                    if found := await self._compare():
                        return found
                case "abandon":
                    await asyncio.gather(*(side.produce("abandon", ["work", *args]) for side in self.sides))
                case _:
                    await asyncio.gather(*(side.produce(kind, args) for side in self.sides))
        await asyncio.gather(*(side.stop() for side in self.sides))
        return await self._compare()

    async def _compare(self) -> list[tuple[str, Any, Any]]:
        """What differs, and goes on to differ for a while."""
        deadline = time.monotonic() + SETTLE
        while True:
            pictures: list[Picture] = [await take(side.redis) for side in self.sides]
            found = [found for found in differences(*pictures) if not self._known(found[0])]
            if not found or time.monotonic() > deadline:
                return found
            await asyncio.sleep(POLL)

    async def close(self) -> None:
        await asyncio.gather(*(side.stop() for side in self.sides), return_exceptions=True)
        for side in self.sides:
            await side.close()
