"""Adding jobs: the official builders make each command, and all of them go out on one pipelined connection."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from bullmq.job import Job as WireJob

from auth_worker.broker.link import Link
from auth_worker.broker.scripts import Script, builders, script
from auth_worker.errors import BrokerError, BrokerUnavailableError

ADD_SCRIPTS = ("addStandardJob", "addDelayedJob", "addPrioritizedJob", "addParentJob")
WINDOW = 1000
"""How many commands may wait for their reply at a time, so that a large bulk does not fill the memory."""
REFUSALS = {-5: "its parent job does not exist", -7: "its parent job cannot be replaced"}


def producer_scripts() -> list[Script]:
    """The scripts a producer's connection must have loaded."""
    return [script(name) for name in ADD_SCRIPTS]


class Producer:
    """Adds jobs to one queue."""

    def __init__(self, link: Link, prefix: str, queue: str) -> None:
        self._link = link
        self._builders: Any = builders(prefix, queue, _call)
        self._queue = SimpleNamespace(backend=None, qualifiedName=f"{prefix}:{queue}")

    def call(
        self, name: str, data: Any, options: Mapping[str, Any], job_id: str, timestamp: int
    ) -> tuple[Script, list[Any], list[Any]]:
        """The script call that adds a job; ``options`` are BullMQ's, and are stored as they are.

        So an id and a time that the producer did not ask for are no options: jobs alike share theirs.

        Raises ``TypeError`` or ``ValueError`` when data or options are not JSON.
        """
        job = WireJob(self._queue, name, data, dict(options), job_id)
        job.timestamp = timestamp
        if job.opts.get("delay"):
            call: tuple[Script, list[Any], list[Any]] = self._builders.addDelayedJob(job, job.opts["delay"])
        elif job.opts.get("priority"):
            call = self._builders.addPrioritizedJob(job, job.opts["priority"])
        else:
            call = self._builders.addStandardJob(job, job.timestamp)
        return call

    async def add(self, commands: Sequence[bytes], timeout: float) -> list[str]:
        """Send ``commands`` and give the ids of their jobs. What got no reply is sent again: an id adds one job.

        Raises ``BrokerError``; after ``timeout`` s without Redis, ``BrokerUnavailableError``.
        """
        ids: list[str] = []
        for start in range(0, len(commands), WINDOW):
            ids += await self._add_window(commands[start : start + WINDOW], timeout)
        return ids

    async def _add_window(self, commands: Sequence[bytes], timeout: float) -> list[str]:
        replies: list[Any] = [None] * len(commands)
        missing = list(range(len(commands)))
        try:
            async with asyncio.timeout(timeout):
                while missing:
                    await self._link.wait_up()
                    await self._send([(index, commands[index]) for index in missing], replies)
                    missing = [index for index in missing if _is_to_repeat(replies[index])]
                    if any(replies[index].code == "NOSCRIPT" for index in missing):
                        await self._link.load_scripts()
        except TimeoutError:
            raise BrokerUnavailableError(
                f"Redis did not answer within {timeout:g} s: {self._link.last_error or 'no reply'}; whether the "
                "jobs were added is unknown, adding them again with the same job_id is safe"
            ) from None
        return [_id_of(reply) for reply in replies]

    async def _send(self, commands: list[tuple[int, bytes]], replies: list[Any]) -> None:
        done = asyncio.get_running_loop().create_future()
        left = len(commands)

        def receiver(index: int) -> Any:
            def receive(reply: Any) -> None:
                nonlocal left
                replies[index] = reply
                left -= 1
                if not left and not done.done():
                    done.set_result(None)

            return receive

        for index, command in commands:
            self._link.send(command, receiver(index))
        await done


def _call(called: Script, keys: list[Any], args: list[Any]) -> Any:
    return called, keys, args


def _is_to_repeat(reply: Any) -> bool:
    return isinstance(reply, BrokerUnavailableError) or (
        isinstance(reply, BrokerError)
        and reply.code in ("NOSCRIPT", "LOADING", "READONLY", "TRYAGAIN", "MASTERDOWN")
    )


def _id_of(reply: Any) -> str:
    if isinstance(reply, BrokerError):
        raise reply
    if isinstance(reply, int) and reply < 0:
        raise BrokerError(f"the job was not added: {REFUSALS.get(reply, f'code {reply}')}")
    return str(reply.decode() if isinstance(reply, bytes) else reply)
