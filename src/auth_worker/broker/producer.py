"""Adding jobs: all calls go out on one pipelined connection, and again where no reply came."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from functools import partial
from typing import Any

from auth_worker.broker.connection import Call
from auth_worker.broker.link import Link
from auth_worker.errors import BrokerError, BrokerUnavailableError

WINDOW = 1000
"""How many jobs may wait for their reply at a time, so that a large bulk does not fill the memory."""
REPEAT_PAUSE = 0.05
"""How long (s) to wait before what Redis would not take now is sent again."""
NOT_ADDED = "NOTADDED"
"""The code of the error where Redis is well, and the script would not add the job."""
REFUSALS = {-5: "its parent job does not exist", -7: "its parent job cannot be replaced"}


class Producer:
    """Makes the calls that add jobs, over one connection."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._id, self._added = uuid.uuid4().hex, 0

    def new_id(self) -> str:
        """An id that no other job has: a random one for this connection, and a number."""
        self._added += 1
        return f"{self._id}-{self._added}"

    async def add_one(self, call: Call, timeout: float) -> str:
        """``add`` for a single job, at less cost."""
        loop = asyncio.get_running_loop()
        replied: asyncio.Future[Any] = loop.create_future()
        started = loop.time()
        timer = loop.call_later(timeout, _tell, replied, None)
        self._link.send_call(call, partial(_tell, replied))
        try:
            reply = await replied
        finally:
            timer.cancel()
        if reply is None:
            raise self._late(timeout)
        if _is_to_repeat(reply):
            return (await self._add_window([call], started + timeout - loop.time()))[0]
        return _id_of(reply)

    async def add(self, calls: Sequence[Call], timeout: float) -> list[str]:
        """Make ``calls`` and give the ids of their jobs. What got no reply is sent again: an id adds one job.

        Raises ``BrokerError``; after ``timeout`` s without Redis, ``BrokerUnavailableError``.
        """
        ids: list[str] = []
        for start in range(0, len(calls), WINDOW):
            ids += await self._add_window(calls[start : start + WINDOW], timeout)
        return ids

    async def _add_window(self, calls: Sequence[Call], timeout: float) -> list[str]:
        replies: list[Any] = []
        missing: Sequence[int] = range(len(calls))
        try:
            async with asyncio.timeout(timeout):
                replies = await self._send(calls)
                while missing := [index for index in missing if _is_to_repeat(replies[index])]:
                    await asyncio.sleep(REPEAT_PAUSE)
                    await self._link.wait_up()
                    if any(replies[index].code == "NOSCRIPT" for index in missing):
                        await self._link.load_scripts()
                    again = await self._send([calls[index] for index in missing])
                    for index, reply in zip(missing, again, strict=True):
                        replies[index] = reply
        except TimeoutError:
            raise self._late(timeout) from None
        return [_id_of(reply) for reply in replies]

    async def _send(self, calls: Sequence[Call]) -> list[Any]:
        """The replies, which come in the order of the calls."""
        replies: list[Any] = []
        done: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()

        def receive(reply: Any) -> None:
            replies.append(reply)
            if len(replies) == len(calls) and not done.done():
                done.set_result(replies)

        for call in calls:
            self._link.send_call(call, receive)
        return await done

    def _late(self, timeout: float) -> BrokerUnavailableError:
        return BrokerUnavailableError(
            f"Redis did not answer within {timeout:g} s: {self._link.last_error or 'no reply'}; whether the "
            "jobs were added is unknown, adding them again with the same job_id is safe"
        )


def _tell(future: asyncio.Future[Any], reply: Any) -> None:
    if not future.done():
        future.set_result(reply)


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
