"""A client's connection to the HTTP port, which measures how slowly its client sends and reads."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Protocol, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 5.0
"""How long (s) after the connection, or after the last answer, the head of a request may take."""
BODY_S, ANSWER_S = 20.0, 20.0
"""How long (s) a client may take to send a body or to read a response; 1 s more for each ``RATE`` bytes."""
RATE = 16 * 1024


class Owner(Protocol):
    """The owner of the connections."""

    def forget(self, connection: Connection) -> None:
        """Remove ``connection``, which is closed."""

    def begins_next(self, connection: Connection) -> bool:
        """Return whether ``connection`` may start its next request; else its ``handle_events`` is called later."""

    def bound_unread(self) -> None:
        """Limit what clients leave unread, since a response has been written."""


class CountingTransport:
    """A transport that counts the bytes ``written`` to it, since a stream may never be read to its end."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.written = 0

    def write(self, data: bytes) -> None:
        """Part of asyncio."""
        self.written += len(data)
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Connection(H11Protocol):
    """Uvicorn's connection, which measures how long it waits for its client. ``source``: the client's address."""

    def __init__(self, owner: Owner, source: str | None, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.source = source
        self.since = time.monotonic()
        """When it was opened, or when its last request or response was complete."""
        self._owner = owner
        self._request: Any = None
        self._received = 0
        self._read_before = 0
        self._sending_since: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Part of asyncio."""
        super().connection_made(cast("asyncio.Transport", CountingTransport(transport)))

    @property
    def _written(self) -> int:
        return cast("CountingTransport", self.transport).written

    def connection_lost(self, exc: Exception | None) -> None:
        """Part of asyncio."""
        super().connection_lost(exc)
        self._owner.forget(self)

    def resume_writing(self) -> None:
        """Part of asyncio: the client has read nearly all there was."""
        super().resume_writing()
        if self._is_answered and not self.transport.is_closing():
            self.flow.resume_reading()
            self.handle_events()

    def handle_events(self) -> None:
        """Part of uvicorn: starts the next request in its turn, once the answer to the last one has been read."""
        if self._is_answered and self.flow.write_paused:
            self._unset_keepalive_if_required()  # the time for the answer counts
            self.flow.pause_reading()
            return
        if self.cycle is not None and self._is_answered:
            if not self._owner.begins_next(self):
                self.flow.pause_reading()
                return
            self.flow.resume_reading()
        super().handle_events()

    def send_400_response(self, msg: str) -> None:
        """Part of uvicorn: what came is not HTTP. Once a response has begun, it is too late to say so."""
        is_answered = self._is_answered
        if not is_answered:
            self.cycle.disconnected = True  # so that whoever answers the request is told, and sends nothing more
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        elif is_answered:
            self.transport.close()
        else:
            self.abort()

    def data_received(self, data: bytes) -> None:
        """Part of asyncio."""
        self._received += len(data)
        super().data_received(data)
        if self.cycle is not self._request:
            self._request, self._received, self.since = self.cycle, 0, time.monotonic()

    def on_response_complete(self) -> None:
        """Part of uvicorn."""
        self.since, self._received = time.monotonic(), 0
        super().on_response_complete()
        self._owner.bound_unread()

    @property
    def unread(self) -> int:
        """How many bytes of responses its client has yet to read."""
        return 0 if self.transport is None else self.transport.get_write_buffer_size()

    @property
    def is_answering(self) -> bool:
        """Whether its client has sent a whole request that is not fully answered."""
        return self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body

    def note_reading(self, now: float) -> None:
        """Note whether its client has something to read. Call it every second."""
        unread = self.unread
        if not unread:
            if self._sending_since is not None:
                self._sending_since, self.since = None, now
        elif self._sending_since is None:
            self._sending_since, self._read_before = now, self._written - unread

    def is_overdue(self, now: float) -> bool:
        """Whether its client has taken too long to send a request or, by ``note_reading``, to read a response."""
        if self._sending_since is not None:
            read = self._written - self.unread - self._read_before
            return now - self._sending_since > ANSWER_S + read / RATE
        if self._is_answered:
            return now - self.since > HEAD_S
        if self.cycle.more_body and not self.flow.read_paused:
            return now - self.since > BODY_S + self._received / RATE
        return False

    @property
    def _is_answered(self) -> bool:
        """Whether every request that was started is answered, though the client may not have read it all."""
        return self.cycle is None or self.cycle.response_complete

    def abort(self) -> None:
        """Close it at once, with unsent data."""
        self.transport.abort()
