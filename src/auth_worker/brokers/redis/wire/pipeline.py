"""The pipelined connection: one socket to Redis, shared by all slots, that writes without waiting for replies.

``send`` appends a command in wire format and returns. Replies arrive in order, so each belongs to the callback
that has waited longest. Redis and Python are to work at the same time. So commands are written together, but not
so late that Redis runs out of work: at most ``AT_ONCE`` of them, and no more than Redis has pending unless they
are an operator's, wait for the end of the event loop's iteration. And of replies that arrived together at most
``AT_ONCE`` are delivered per iteration, so that the first jobs need not wait for the last. Beside a pool of
redis-py connections this doubles the jobs per second at a fifth of the CPU time.

Adjacent calls of the same kind become one command; see ``scripts.batches``.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable
from itertools import groupby
from operator import itemgetter
from typing import Any

import hiredis

from auth_worker.brokers.redis.wire.call_types import Batchable, Call, OnReply, resolver
from auth_worker.brokers.redis.wire.resp import ELSEWHERE_CODES, error_of, is_error, pack, unasked_error
from auth_worker.errors import BrokerError, BrokerUnavailableError
from auth_worker.system.forks import detach_in_child
from auth_worker.system.loops import check_loop, discard_transport

AT_ONCE = 12
MANY_AT_ONCE = 600
"""For a connection that reads much and runs no jobs: commands that arrive together cost Redis a third as much."""
LARGE_REPLY = 64 * 1024
"""Larger replies are asked for and delivered one at a time. To decode the data of many jobs at once takes twice as
long: much of that is garbage collection, which looks at all data in memory."""
LARGE_PART = LARGE_REPLY // 16
"""While replies are small, what comes in parts of this size or less is not measured."""
_KIND = itemgetter(0)


class Connection(asyncio.Protocol):
    """One open socket. Created by ``link.Link``, which logs in and replaces it when it breaks.

    It closes itself at an error reply with one of the codes ``leave_at``.
    """

    def __init__(
        self,
        on_lost: Callable[[Connection, BrokerError], None],
        leave_at: frozenset[str] = ELSEWHERE_CODES,
        at_once: int = AT_ONCE,
    ) -> None:
        self._on_lost = on_lost
        self._most_at_once = self._at_once = at_once
        self._leave_at = leave_at
        self._reader = hiredis.Reader(protocolError=BrokerError)
        self._waiting: deque[OnReply] = deque()
        self._outgoing: list[Call] = []
        self._sizes: deque[int] = deque()
        """The number of calls in each command that Redis has not answered yet."""
        self._flush_due = False
        self._read_due = False
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.WriteTransport | None = None
        self._direct_fd: int | None = None
        """The socket's descriptor, to write bytes past the transport; None without one, and with TLS."""
        self._fileno = -1
        self._lost: BrokerError | None = None
        self.answered = 0
        """The number of replies so far."""
        self._parts_received = 0
        self._sampled_above = LARGE_PART
        self._bytes_sampled = self._answered_before_sample = 0
        """A sample tells whether replies are large. Parts of more than ``_sampled_above`` bytes count in it."""

    @property
    def lost(self) -> BrokerError | None:
        """Why the connection is lost; None while it is open."""
        return self._lost

    @property
    def waiting(self) -> int:
        """The number of pending replies."""
        return len(self._waiting)

    @property
    def progress(self) -> tuple[int, int]:
        """A value that changes whenever a byte is sent or received, even of a part of a large reply or command.

        If it stands still while commands wait, the connection may be dead.
        """
        return self._parts_received, self._transport.get_write_buffer_size() if self._transport is not None else 0

    def send(self, command: bytes, on_reply: OnReply) -> None:
        """Write ``command`` soon. ``on_reply`` is called with the reply, or the ``BrokerError`` instead of one."""
        self.send_call((None, command), on_reply)

    def send_call(self, call: Call, on_reply: OnReply) -> None:
        """Send a call, which shares a command with adjacent calls of the same kind."""
        if self._lost is not None:
            self._loop.call_soon(on_reply, self._lost)
            return
        self._waiting.append(on_reply)
        self._outgoing.append(call)
        held = len(self._outgoing)
        if held >= self._at_once or (self._most_at_once <= AT_ONCE and held > len(self._waiting) - held):
            self._flush()
        elif not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush_at_turn)

    def send_transaction(self, commands: list[bytes], on_reply: OnReply) -> None:
        """Send ``commands`` as MULTI/EXEC. ``on_reply`` is called with the list of their replies, or the error."""
        self.send(pack("MULTI"), _ignore)
        for command in commands:
            self.send(command, _ignore)
        self.send(pack("EXEC"), on_reply)

    async def execute(self, *args: str | int | float | bytes) -> Any:
        """Send one command and wait for its reply. Raises ``BrokerError``."""
        return await self.request(pack(*args))

    async def request(self, command: bytes) -> Any:
        """Send one packed command and wait for its reply.

        Raises ``BrokerError``, and ``ConfigurationError`` in another event loop than the connection's.
        """
        check_loop(self._loop, "this connection to Redis")
        future: asyncio.Future[Any] = self._loop.create_future()
        self.send(command, resolver(future))
        return await future

    def close(self, reason: str) -> None:
        """Close the socket. Every waiting callback gets ``BrokerUnavailableError``."""
        self._drop(BrokerUnavailableError(reason))

    def discard(self) -> None:
        """Close the socket without the event loop, if that is closed. No callback is called."""
        if self._loop.is_closed():
            self._lost = BrokerUnavailableError("its event loop is closed")
            self._outgoing.clear()
            self._waiting.clear()
            discard_transport(self._transport)

    def fileno(self) -> int:
        """Return the socket's descriptor, or -1 if there is none."""
        return self._fileno

    def _flush_at_turn(self) -> None:
        self._flush_due = False
        self._flush()

    def _flush(self) -> None:
        if not self._outgoing or self._transport is None:
            return
        outgoing, self._outgoing = self._outgoing, []
        if len(outgoing) == 1:
            [(kind, call)] = outgoing
            data = self._command(kind, [call])
        else:
            runs = groupby(outgoing, _KIND)
            data = b"".join([self._command(kind, [call for _, call in run]) for kind, run in runs])
        self._write(self._transport, data)

    def _command(self, kind: Batchable | None, calls: list[Any]) -> bytes:
        """Return the command for adjacent calls of one kind. Those without a kind are commands already."""
        if kind is None:
            self._sizes.extend([1] * len(calls))
            return b"".join(calls)
        command = kind.join(calls) if len(calls) > 1 else kind.alone(calls[0])
        self._sizes.append(len(calls))
        return command

    def _write(self, transport: asyncio.WriteTransport, data: bytes) -> None:
        """Write ``data`` to the socket, and what it does not accept now to the transport.

        uvloop's transport buffers everything until the iteration of its loop ends, and Redis waits meanwhile: at a
        concurrency of 10 that costs a fifth of the jobs per second.
        """
        if self._direct_fd is not None and not transport.get_write_buffer_size():
            try:
                written = os.write(self._direct_fd, data)
            except OSError:  # full or broken: the transport waits, or reports why
                written = 0
            data = data[written:]
        if data:
            transport.write(data)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio's protocol."""
        self._transport = transport  # type: ignore[assignment]
        self._fileno = transport.get_extra_info("socket").fileno()
        if transport.get_extra_info("sslcontext") is None:
            self._direct_fd = self._fileno
        detach_in_child(self)

    def data_received(self, data: bytes) -> None:
        """Part of asyncio's protocol."""
        self._parts_received += 1
        self._reader.feed(data)
        if len(data) > self._sampled_above:
            self._adapt_to_size(len(data))
        if not self._read_due:
            self._read_at_turn()

    def _adapt_to_size(self, received: int) -> None:
        if replies := self.answered - self._answered_before_sample:
            large = self._bytes_sampled >= replies * LARGE_REPLY
            self._at_once, self._sampled_above = (1, 0) if large else (self._most_at_once, LARGE_PART)
            self._bytes_sampled, self._answered_before_sample = 0, self.answered
        self._bytes_sampled += received

    def _read_at_turn(self) -> None:
        self._read_due = self._lost is None and self._read(self._at_once)
        if self._read_due:
            self._loop.call_soon(self._read_at_turn)

    def _read(self, most: int) -> bool:
        """Deliver up to ``most`` replies and the rest of the last batch. Returns whether there may be more."""
        handed_on = 0
        while handed_on < most:
            try:
                reply = self._reader.gets()
            except BrokerError as error:
                self.close(f"Redis broke its protocol: {error}")
                return False
            if reply is False:
                return False
            if not self._sizes:
                self._drop(unasked_error(reply))
                return False
            size = self._sizes.popleft()
            handed_on += size
            if not self._hand_on(reply, size):
                return False
        return True

    def _hand_on(self, reply: Any, size: int) -> bool:
        """Deliver the reply to ``size`` calls to their callbacks. Returns whether the connection is still open."""
        if size == 1:
            replies = [reply]
        elif not isinstance(reply, list):  # one error for all of them
            replies = [reply] * size
        elif len(reply) == size:
            replies = reply
        else:
            self.close(f"Redis answered {size} calls with {len(reply)} replies")
            return False
        leave = ""
        for each in replies:
            if self._lost is not None:  # by the previous callback
                return False
            self.answered += 1
            if is_error(each):
                refusal = error_of(each)
                leave = leave or (str(refusal) if refusal.code in self._leave_at else "")
                self._call_back(self._waiting.popleft(), refusal)
            else:
                self._call_back(self._waiting.popleft(), each)
        if leave:
            self.close(leave)
        return self._lost is None

    def _call_back(self, on_reply: OnReply, reply: Any) -> None:
        """Call a callback. What it raises is reported, and affects no other reply."""
        try:
            on_reply(reply)
        except Exception as error:
            self._loop.call_exception_handler({"message": "a reply of Redis was not expected", "exception": error})

    def connection_lost(self, error: Exception | None) -> None:
        """Part of asyncio's protocol."""
        self._read(len(self._waiting))
        self._direct_fd, self._fileno = None, -1
        lost = BrokerUnavailableError(f"the connection broke: {error or 'closed by Redis'}")
        lost.__cause__ = error
        self._lose(lost)

    def _drop(self, error: BrokerError) -> None:
        if self._transport is not None:
            self._flush()
            self._transport.abort()
        self._lose(error)

    def _lose(self, error: BrokerError) -> None:
        if self._lost is not None:
            return
        self._lost = error
        self._outgoing.clear()
        self._sizes.clear()
        waiting, self._waiting = self._waiting, deque()
        for on_reply in waiting:
            self._call_back(on_reply, error)
        self._on_lost(self, error)


def _ignore(reply: Any) -> None:
    """Ignore a reply within a transaction: that of EXEC reports the result."""
