"""The Node side of the interop tests, seen from Python: one Node process with the real BullMQ package.

::

    job_id = await node.add("mail", "welcome", {"to": "a@example.com"}, attempts=3)
    await node.wait_until_finished("mail", job_id)
    job = await node.get_job("mail", job_id)       # as Node reads it: {"returnvalue": ..., "attemptsMade": ...}

Options and results keep BullMQ's camelCase names.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
import json
import subprocess
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

HERE = Path(__file__).parent
NODE_MODULES = HERE / "node_modules"
TIMEOUT = 15.0
POLL = 0.02
T = TypeVar("T")


class NodeError(Exception):
    """What Node raised."""


class NodeProcess:
    """The process: started once, used by tests that each have an event loop of their own."""

    def __init__(self, host: str, port: int) -> None:
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - until stop
        self._process = subprocess.Popen(
            ["node", str(HERE / "driver.mjs"), host, str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
        )
        self._waiting: dict[int, concurrent.futures.Future[Any]] = {}
        self._ids = itertools.count(1)
        self._reader = threading.Thread(target=self._read, name="node replies", daemon=True)
        self._reader.start()

    def send(self, op: str, args: Sequence[Any]) -> concurrent.futures.Future[Any]:
        """Send a request; the future gets its result, or ``NodeError``."""
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        number = next(self._ids)
        self._waiting[number] = future
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"id": number, "op": op, "args": args}) + "\n")
            self._process.stdin.flush()
        except OSError:
            self._waiting.pop(number)
            raise NodeError(f"Node is gone:\n{self.errors()}") from None
        return future

    def errors(self) -> str:
        """What Node wrote to its stderr so far, the end of it."""
        self._errors.seek(0)
        return self._errors.read()[-2000:]

    def stop(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()
        self._errors.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            reply = json.loads(line)
            future = self._waiting.pop(reply["id"])
            if "error" in reply:
                future.set_exception(NodeError(reply["error"]["message"]))
            else:
                future.set_result(reply.get("result"))
        for future in self._waiting.values():
            future.set_exception(NodeError("Node has ended"))


class NodeSide:
    """What the tests ask of Node. Each call raises ``NodeError``, or ``TimeoutError`` after ``TIMEOUT`` s."""

    def __init__(self, process: NodeProcess) -> None:
        self._process = process

    async def call(self, op: str, *args: Any, timeout: float = TIMEOUT) -> Any:
        """Run an operation of driver.mjs."""
        future = asyncio.wrap_future(self._process.send(op, args))
        try:
            return await asyncio.wait_for(future, timeout)
        except TimeoutError:
            raise TimeoutError(f"Node: {op} {args!r:.200} took more than {timeout} s") from None

    async def open_queue(self, queue: str, **options: Any) -> None:
        """Open a ``Queue`` with options, before its first use."""
        await self.call("openQueue", queue, options)

    async def queue(self, queue: str, method: str, *args: Any) -> Any:
        """Call a method of ``Queue``."""
        return await self.call("queue", queue, method, *args)

    async def job(self, queue: str, job_id: str, method: str, *args: Any) -> Any:
        """Call a method of ``Job``."""
        return await self.call("job", queue, job_id, method, *args)

    async def add(self, queue: str, name: str, data: Any, **options: Any) -> str:
        """``Queue.add``; returns the job's id."""
        return str((await self.queue(queue, "add", name, data, options))["id"])

    async def add_bulk(self, queue: str, jobs: Sequence[Mapping[str, Any]]) -> list[str]:
        """``Queue.addBulk`` of ``{"name", "data", "opts"}``; returns the ids."""
        return [str(job["id"]) for job in await self.queue(queue, "addBulk", jobs)]

    async def board(
        self, queue: str, method: str, route: str, query: Mapping[str, Any] = {}, **params: str
    ) -> Any:
        """What Bull Board's ``route`` answers for a queue. Raises ``NodeError`` for an answer of 300 and more."""
        return await self.call("board", queue, method, route, {"queueName": queue, **params}, dict(query))

    async def flow(self, tree: Mapping[str, Any]) -> dict[str, Any]:
        """``FlowProducer.add``; returns the tree of ``{"job", "children"}``."""
        return dict(await self.call("flow", tree))

    async def get_job(self, queue: str, job_id: str) -> dict[str, Any]:
        """The job as Node reads it. Raises ``KeyError`` when there is none."""
        job = await self.queue(queue, "getJob", job_id)
        if job is None:
            raise KeyError(job_id)
        return dict(job)

    async def state(self, queue: str, job_id: str) -> str:
        """``Queue.getJobState``: waiting, active, completed, failed, delayed, ... or unknown."""
        return str(await self.queue(queue, "getJobState", job_id))

    async def finished(self, queue: str, job_id: str) -> dict[str, Any]:
        """The job, once it is completed or failed."""

        async def over() -> bool:
            return await self.state(queue, job_id) in ("completed", "failed")

        await eventually(over)
        return await self.get_job(queue, job_id)

    async def counts(self, queue: str) -> dict[str, int]:
        """How many jobs are in each state, without the states that have none."""
        counts = await self.queue(queue, "getJobCounts")
        return {state: count for state, count in counts.items() if count}

    async def until_counts(self, queue: str, timeout: float = TIMEOUT, **counts: int) -> None:
        """Wait until the queue has exactly these jobs: ``until_counts(queue, completed=5)``."""

        async def reached() -> bool:
            return await self.counts(queue) == counts

        await eventually(reached, timeout)

    async def jobs(self, queue: str, *states: str) -> list[dict[str, Any]]:
        """The jobs in these states, oldest first."""
        return list(await self.queue(queue, "getJobs", states, 0, -1, True))

    async def logs(self, queue: str, job_id: str) -> list[str]:
        """The rows of the job's log."""
        return list((await self.queue(queue, "getJobLogs", job_id))["logs"])

    async def worker_names(self, queue: str) -> list[str]:
        """The names of the workers that ``Queue.getWorkers`` lists."""
        clients = await self.queue(queue, "getWorkers")
        return sorted(client["rawname"].partition(":w:")[2] for client in clients)

    async def start_worker(self, queue: str, behaviour: Mapping[str, Any] | None = None, **options: Any) -> None:
        """Start a ``Worker``: ``{"returns": value}``, ``{"throws": text, "times": n}``, ``{"takes": ms}`` or
        ``{"hangs": True}``.
        """
        await self.call("startWorker", queue, behaviour or {}, options)

    async def stop_worker(self, queue: str, *, force: bool = False) -> None:
        """Close the ``Worker``; with ``force`` what it runs stays active, as if it had died."""
        await self.call("stopWorker", queue, force)

    async def runs(self, queue: str, count: int = 0, timeout: float = TIMEOUT) -> list[dict[str, Any]]:
        """What Node's worker has run so far, once it is at least ``count`` jobs."""

        async def enough() -> list[dict[str, Any]] | None:
            found = list(await self.call("runs", queue))
            return found if len(found) >= count else None

        found = await eventually(enough, timeout)
        assert found is not None
        return found

    async def spans(self, name: str, count: int = 1) -> list[dict[str, Any]]:
        """The spans called ``name`` of what was opened with ``traced=True``, once there are so many."""

        async def enough() -> list[dict[str, Any]] | None:
            found = [span for span in await self.call("spans") if span["name"] == name]
            return found if len(found) >= count else None

        found = await eventually(enough)
        assert found is not None
        return found

    async def start_events(self, queue: str) -> None:
        """Listen with ``QueueEvents``, from the beginning of the queue's stream."""
        await self.call("startEvents", queue)

    async def events(self, queue: str, job_id: str | None = None) -> list[str]:
        """The names of the events seen so far, in order; those of one job, or all."""
        seen = await self.call("events", queue)
        return [event["event"] for event in seen if job_id is None or event.get("jobId") == job_id]

    async def event(self, queue: str, name: str, timeout: float = TIMEOUT) -> dict[str, Any]:
        """The first event called ``name``, once it has come."""

        async def first() -> dict[str, Any] | None:
            seen = await self.call("events", queue)
            return next((event for event in seen if event["event"] == name), None)

        return await eventually(first, timeout)

    async def wait_until_finished(self, queue: str, job_id: str, timeout: float = TIMEOUT) -> Any:
        """``Job.waitUntilFinished``: the return value, or ``NodeError`` with why. Needs ``start_events``."""
        return await self.call("waitUntilFinished", queue, job_id, int(timeout * 1000), timeout=timeout + 1)


async def eventually(ask: Callable[[], Awaitable[T | None]], timeout: float = TIMEOUT) -> T:
    """What ``ask`` gives, once that is true. Raises ``TimeoutError`` with the last answer after ``timeout`` s."""
    deadline = time.monotonic() + timeout
    while not (answer := await ask()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"still {answer!r} after {timeout} s")
        await asyncio.sleep(POLL)
    return answer
