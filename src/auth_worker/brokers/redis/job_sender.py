"""Sends the calls that add jobs over one pipelined connection, and sends those again that got no reply."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from auth_worker.brokers.redis.text_codec import exact_text
from auth_worker.brokers.redis.wire.call_types import Call
from auth_worker.brokers.redis.wire.link import Link
from auth_worker.core.ports.producer import NOT_ADDED, AddedJob, ExistingJob
from auth_worker.errors import BrokerError, BrokerUnavailableError
from auth_worker.system.deadlines import Deadlines
from auth_worker.system.loops import discard_task

WINDOW = 1000
"""How many jobs may wait for their reply at a time, so that a large bulk does not fill the memory."""
REPEAT_PAUSE = 0.05
"""The pause (s) before calls are sent again that Redis did not accept."""
CLOSE_TIMEOUT = 2.0
CLOSED = (
    "the queue was closed while jobs were being added; whether they were added is unknown, adding them again with "
    "the same job_id is safe"
)
REFUSALS = {-5: "its parent job does not exist", -7: "its parent job cannot be replaced"}


class JobSender:
    """Adds jobs over a connection of its own, in the event loop in which it was created.

    ``timeout`` (s) bounds each add.
    """

    def __init__(self, open_link: Callable[[], Coroutine[Any, Any, Link]], timeout: float) -> None:
        self.is_connected = False
        self.users = 0
        """The number of open ``async with`` blocks of the queue in this loop."""
        self._open_link = open_link
        self._timeout = timeout
        self._opening: asyncio.Task[None] | None = None
        self._link: Link
        self._loop = asyncio.get_running_loop()
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._deadlines = Deadlines(self._loop, timeout)
        self._discarded = False
        self._id, self._issued = uuid.uuid4().hex, 0

    @property
    def link(self) -> Link:
        """The connection, after ``connect``."""
        return self._link

    async def connect(self) -> None:
        """Connect. Concurrent callers share the attempt. Raises ``BrokerError`` and ``ConfigurationError``."""
        if self._opening is None:
            self._opening = self._loop.create_task(self._connect(), name="producer connects")
        try:
            await asyncio.shield(self._opening)
        except asyncio.CancelledError:
            if self._closed.done():
                raise BrokerUnavailableError(CLOSED) from None
            raise

    async def close(self) -> None:
        """Disconnect when Redis has answered the calls that were sent, or after 2 s."""
        if self._discarded or self._closed.done():
            return
        self._closed.set_result(None)
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait({self._opening})
        if self.is_connected:
            try:
                with contextlib.suppress(BrokerError, TimeoutError):
                    async with asyncio.timeout(CLOSE_TIMEOUT):
                        if self._link.waiting:
                            await self._link.execute("PING")  # replies arrive in order, so this one is the last
            finally:
                await self._link.stop()

    def discard(self) -> None:
        """Release the connection without the event loop, which is closed or belongs to the parent process."""
        self._discarded = self._loop.is_closed()
        discard_task(self._opening)
        if self.is_connected:
            self._link.discard()

    def new_id(self) -> str:
        """Create a unique job id: a random id of this connection, and a counter."""
        self._issued += 1
        return f"{self._id}-{self._issued}"

    async def _connect(self) -> None:
        try:
            self._link = await self._open_link()
            self.is_connected = True
        finally:
            self._opening = None

    async def add_one(self, call: Call) -> AddedJob:
        """Add a single job, at less cost than ``add``."""
        replied: asyncio.Future[Any] = self._loop.create_future()
        deadline = self._deadlines.watch(replied)
        self._link.send_call(call, partial(_resolve, replied))
        reply = await replied
        if isinstance(reply, bytes):
            return AddedJob(reply.decode())
        if reply is None:
            raise self._late()
        if _is_retryable(reply):
            (reply,) = await self._replies([call], deadline)
        return _id_of(reply)

    async def add(self, calls: Sequence[Call], places: Sequence[int] | None = None) -> list[AddedJob]:
        """Send ``calls`` and return the ids of their jobs. Resends those without a reply: an id adds one job.

        ``places`` are those of the jobs for errors, if they are not 0, 1 and so on.
        Raises ``BrokerError``, and ``BrokerUnavailableError`` if Redis does not respond in time.
        """
        ids: list[AddedJob] = []
        for start in range(0, len(calls), WINDOW):
            deadline = self._loop.time() + self._timeout
            replies = await self._replies(calls[start : start + WINDOW], deadline)
            try:
                for reply in replies:
                    ids.append(_id_of(reply))  # noqa: PERF401 - counts the jobs
            except BrokerError as error:
                place = len(ids) if places is None else places[len(ids)]
                raise type(error)(f"jobs[{place}]: {error}", error.code) from error
        return ids

    async def add_together(self, commands: Sequence[bytes]) -> list[AddedJob]:
        """Send packed ``commands``, which add jobs, as one transaction, and return the ids of the jobs.

        Sent again until there is a reply: an id adds one job. Raises as ``add``.
        """
        try:
            async with asyncio.timeout(self._timeout):
                while True:
                    done: asyncio.Future[Any] = self._loop.create_future()
                    self._link.send_transaction(list(commands), partial(_resolve, done))
                    replies = await done
                    if not _is_retryable(replies):
                        break
                    await asyncio.sleep(REPEAT_PAUSE)
                    await self._wait_up()
        except TimeoutError:
            raise self._late() from None
        if isinstance(replies, BrokerError):
            raise replies
        return [_id_of(reply) for reply in replies]

    async def _replies(self, calls: Sequence[Call], deadline: float) -> list[Any]:
        replies: list[Any] = []
        missing: Sequence[int] = range(len(calls))
        try:
            async with asyncio.timeout_at(deadline):
                replies = await self._send(calls)
                while missing := [index for index in missing if _is_retryable(replies[index])]:
                    await asyncio.sleep(REPEAT_PAUSE)
                    await self._wait_up()
                    if any(replies[index].code == "NOSCRIPT" for index in missing):
                        await self._link.load_scripts()
                    again = await self._send([calls[index] for index in missing])
                    for index, reply in zip(missing, again, strict=True):
                        replies[index] = reply
        except TimeoutError:
            raise self._late() from None
        return replies

    async def _send(self, calls: Sequence[Call]) -> list[Any]:
        """Send ``calls`` and return their replies, in the same order."""
        replies: list[Any] = []
        done: asyncio.Future[list[Any]] = self._loop.create_future()

        def receive(reply: Any) -> None:
            replies.append(reply)
            if len(replies) == len(calls) and not done.done():
                done.set_result(replies)

        for call in calls:
            self._link.send_call(call, receive)
        return await done

    async def _wait_up(self) -> None:
        up = asyncio.ensure_future(self._link.wait_up())
        try:
            await asyncio.wait({up, self._closed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            up.cancel()
        if self._closed.done():
            raise BrokerUnavailableError(CLOSED)

    def _late(self) -> BrokerUnavailableError:
        return BrokerUnavailableError(
            f"Redis did not answer within {self._timeout:g} s: {self._link.last_error or 'no reply'}; whether the "
            "jobs were added is unknown, adding them again with the same job_id is safe"
        )


def _resolve(future: asyncio.Future[Any], reply: Any) -> None:
    if not future.done():
        future.set_result(reply)


def _is_retryable(reply: Any) -> bool:
    return isinstance(reply, BrokerUnavailableError) or (
        isinstance(reply, BrokerError)
        and reply.code in ("NOSCRIPT", "LOADING", "READONLY", "TRYAGAIN", "ASK", "MASTERDOWN", "CLUSTERDOWN")
    )


def _id_of(reply: Any) -> AddedJob:
    if isinstance(reply, bytes):
        return AddedJob(reply.decode())
    if isinstance(reply, BrokerError):
        raise reply
    if isinstance(reply, list):
        return ExistingJob(exact_text(reply[0]))
    if isinstance(reply, int) and reply < 0:
        raise BrokerError(f"the job was not added: {REFUSALS.get(reply, f'code {reply}')}", NOT_ADDED)
    return AddedJob(reply)
