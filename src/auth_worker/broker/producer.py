"""Adding jobs: the official builders make each command, and all of them go out on one pipelined connection."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import msgpack
from bullmq.job import Job as WireJob

from auth_worker.broker.link import Link
from auth_worker.broker.scripts import Frame, Script, builders, script
from auth_worker.errors import BrokerError, BrokerUnavailableError, ConfigurationError

HEAD, DATA, STAMP = (f"\0{mark}\0" for mark in ("head", "data", "stamp"))
ADD_SCRIPTS = ("addStandardJob", "addDelayedJob", "addPrioritizedJob", "addParentJob")
WINDOW = 1000
"""How many commands may wait for their reply at a time, so that a large bulk does not fill the memory."""
REPEAT_PAUSE = 0.05
"""How long (s) to wait before what Redis would not take now is sent again."""
NOT_ADDED = "NOTADDED"
"""The code of the error where Redis is well, and the script would not add the job."""
REFUSALS = {-5: "its parent job does not exist", -7: "its parent job cannot be replaced"}


def producer_scripts() -> list[Script]:
    """The scripts a producer's connection must have loaded."""
    return [script(name) for name in ADD_SCRIPTS]


class Producer:
    """Adds jobs to one queue."""

    def __init__(self, link: Link, prefix: str, queue: str) -> None:
        self._link = link
        self._builders: Any = builders(prefix, queue, _take_call)
        self._queue = SimpleNamespace(backend=None, qualifiedName=f"{prefix}:{queue}")
        self._id, self._added = uuid.uuid4().hex, 0

    def new_id(self) -> str:
        """An id that no other job has: a random one for this connection, and a number."""
        self._added += 1
        return f"{self._id}-{self._added}"

    def call(
        self, name: str, data: str, options: Mapping[str, Any], job_id: str, timestamp: int
    ) -> tuple[Script, list[Any], list[Any]]:
        """The script call that adds a job. ``data`` is JSON; ``options`` are BullMQ's, and are stored as they are.

        So an id and a time that the producer did not ask for are no options: jobs alike share theirs.
        Raises ``ConfigurationError`` for options that exclude each other.
        """
        try:
            job = WireJob(self._queue, name, None, dict(options), job_id)
        except ValueError as error:
            raise ConfigurationError(f"job options: {error}") from error
        job.timestamp = timestamp
        if job.opts.get("delay"):
            called, keys, args = self._builders.addDelayedJob(job, job.opts["delay"])
        elif job.opts.get("priority"):
            called, keys, args = self._builders.addPrioritizedJob(job, job.opts["priority"])
        else:
            called, keys, args = self._builders.addStandardJob(job, job.timestamp)
        args[1] = data
        return called, keys, args

    def frame(self, options: Mapping[str, Any]) -> AddFrame:
        """``call`` for many jobs with the same ``options``. Raises as it does."""
        return AddFrame(*self.call("name", "", options, "id", 1))

    async def add_one(self, command: bytes, timeout: float) -> str:
        """``add`` for a single command, at less cost."""
        loop = asyncio.get_running_loop()
        replied: asyncio.Future[Any] = loop.create_future()
        started = loop.time()
        timer = loop.call_later(timeout, _tell, replied, None)
        self._link.send(command, partial(_tell, replied))
        try:
            reply = await replied
        finally:
            timer.cancel()
        if reply is None:
            raise self._late(timeout)
        if _is_to_repeat(reply):
            return (await self._add_window([command], started + timeout - loop.time()))[0]
        return _id_of(reply)

    async def add(self, commands: Sequence[bytes], timeout: float) -> list[str]:
        """Send ``commands`` and give the ids of their jobs. What got no reply is sent again: an id adds one job.

        Raises ``BrokerError``; after ``timeout`` s without Redis, ``BrokerUnavailableError``.
        """
        ids: list[str] = []
        for start in range(0, len(commands), WINDOW):
            ids += await self._add_window(commands[start : start + WINDOW], timeout)
        return ids

    async def _add_window(self, commands: Sequence[bytes], timeout: float) -> list[str]:
        replies: list[Any] = []
        missing: Sequence[int] = range(len(commands))
        try:
            async with asyncio.timeout(timeout):
                replies = await self._send(commands)
                while missing := [index for index in missing if _is_to_repeat(replies[index])]:
                    await asyncio.sleep(REPEAT_PAUSE)
                    await self._link.wait_up()
                    if any(replies[index].code == "NOSCRIPT" for index in missing):
                        await self._link.load_scripts()
                    again = await self._send([commands[index] for index in missing])
                    for index, reply in zip(missing, again, strict=True):
                        replies[index] = reply
        except TimeoutError:
            raise self._late(timeout) from None
        return [_id_of(reply) for reply in replies]

    async def _send(self, commands: Sequence[bytes]) -> list[Any]:
        """The replies, which come in the order of the commands."""
        replies: list[Any] = []
        done: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()

        def receive(reply: Any) -> None:
            replies.append(reply)
            if len(replies) == len(commands) and not done.done():
                done.set_result(replies)

        for command in commands:
            self._link.send(command, receive)
        return await done

    def _late(self, timeout: float) -> BrokerUnavailableError:
        return BrokerUnavailableError(
            f"Redis did not answer within {timeout:g} s: {self._link.last_error or 'no reply'}; whether the "
            "jobs were added is unknown, adding them again with the same job_id is safe"
        )


class AddFrame:
    """The call that adds jobs with the same options, built once: what is left a job is its id, name and data."""

    __slots__ = ("_frame", "_head", "_key_prefix", "_stamped")

    def __init__(self, called: Script, keys: list[Any], args: list[Any]) -> None:
        """From the official builder's call for a job ``name`` with the id ``id``, added at 1.

        ARGV[1] packs what names the job, ARGV[2] is its data; only addStandardJob has the time at the end.
        """
        key_prefix, *named = msgpack.unpackb(args[0])
        if named != ["id", "name", 1, None, None, None, None, None]:
            raise AssertionError(f"{called.name}: the builder's first argument ends with {named}")
        self._key_prefix = key_prefix
        self._head = msgpack.Packer().pack
        self._stamped = called.name == "addStandardJob"
        gaps = [HEAD, DATA, STAMP] if self._stamped else [HEAD, DATA]
        last = STAMP if self._stamped else args[3]
        self._frame = Frame(called, keys, [HEAD, DATA, args[2], last], gaps)

    def fill(self, name: str, data: str, job_id: str, timestamp: int) -> bytes:
        """The call that adds this job; ``data`` is JSON."""
        head = self._head((self._key_prefix, job_id, name, timestamp, None, None, None, None, None))
        if self._stamped:
            return self._frame.fill(head, data.encode(), b"%d" % timestamp)
        return self._frame.fill(head, data.encode())


def _tell(future: asyncio.Future[Any], reply: Any) -> None:
    if not future.done():
        future.set_result(reply)


def _take_call(called: Script, keys: list[Any], args: list[Any]) -> Any:
    return called, keys, args


def _is_to_repeat(reply: Any) -> bool:
    return isinstance(reply, BrokerUnavailableError) or (
        isinstance(reply, BrokerError)
        and reply.code in ("NOSCRIPT", "LOADING", "READONLY", "TRYAGAIN", "ASK", "MASTERDOWN", "CLUSTERDOWN")
    )


def _id_of(reply: Any) -> str:
    if isinstance(reply, BrokerError):
        raise reply
    if isinstance(reply, int) and reply < 0:
        raise BrokerError(f"the job was not added: {REFUSALS.get(reply, f'code {reply}')}", NOT_ADDED)
    return str(reply.decode() if isinstance(reply, bytes) else reply)
