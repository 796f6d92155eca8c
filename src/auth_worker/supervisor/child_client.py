"""Sends a request to a service process over its unix socket, and passes body and response on as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Self

import h11
from starlette.requests import Request

from auth_worker.supervisor.child import Child

Head = h11.Response | h11.InformationalResponse
CHUNK_BYTES = 64 * 1024
NOT_PASSED_ON = frozenset(
    (b"connection", b"keep-alive", b"transfer-encoding", b"content-length", b"expect", b"x-forwarded-for")
)
"""Headers of a request that are for this process alone, or that it writes itself."""


class ChildConnection:
    """One request to a process and its response. Close it, also after an error.

    Every method but ``close`` raises ``OSError`` or ``h11.ProtocolError`` if the process does not answer.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._state = h11.Connection(h11.CLIENT)

    @classmethod
    async def open(cls, child: Child) -> Self:
        """Connect to ``child``."""
        return cls(*await asyncio.open_unix_connection(child.address))

    async def ask(self, request: Request, headers: Mapping[str, str], *, with_body: bool) -> Head:
        """Send the head of ``request`` with ``headers`` instead of its own, and return the head of the response.

        If there is a body and ``with_body`` is set, the process may request it with an
        ``h11.InformationalResponse``: call ``send_body`` next.
        """
        body = _framing(request) if with_body else []
        replaced = {name.encode() for name in headers} | NOT_PASSED_ON
        given = [(name, value) for name, value in request.headers.raw if name not in replaced]
        if "host" not in request.headers:  # HTTP/1.0 needs none
            given.append((b"host", b"localhost"))
        given += [(name.encode(), value.encode()) for name, value in headers.items()]
        given += [
            (b"x-forwarded-for", (request.client.host if request.client else "").encode()),
            *([*body, (b"expect", b"100-continue")] if body else [(b"content-length", b"0")]),
            (b"connection", b"close"),
        ]
        query = request.scope["query_string"]
        target = request.scope["raw_path"] + (b"?" + query if query else b"")
        self._write(h11.Request(method=request.method, target=target, headers=given))
        if not body:
            self._write(h11.EndOfMessage())
        await self._writer.drain()
        return await self._next_head()

    async def send_body(self, parts: AsyncIterator[bytes], patience: float) -> h11.Response:
        """Send ``parts``, no faster than the process reads them, and return the head of the response.

        The response may come before the last part. ``patience``: how long (s) the process may read nothing, or be
        silent once it has everything. Raises what ``parts`` raises.
        """
        answering = asyncio.ensure_future(self._response())
        sending = asyncio.ensure_future(self._send(parts, patience))
        try:
            await asyncio.wait({answering, sending}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done() and not isinstance(error := sending.exception(), OSError) and error is not None:
                raise error
            async with asyncio.timeout(patience):
                return await answering
        finally:
            answering.cancel()
            sending.cancel()
            await asyncio.gather(answering, sending, return_exceptions=True)

    async def chunks(self, patience: float | None) -> AsyncIterator[bytes]:
        """Yield the body of the response.

        ``patience``: how long (s) the process may be silent, None: without limit.
        """
        while True:
            async with asyncio.timeout(patience):
                event = await self._next_event()
            if not isinstance(event, h11.Data):
                return
            yield bytes(event.data)

    def close(self) -> None:
        """Disconnect at once."""
        self._writer.transport.abort()

    async def _send(self, parts: AsyncIterator[bytes], patience: float) -> None:
        async for part in parts:
            self._write(h11.Data(data=part))
            async with asyncio.timeout(patience):
                await self._writer.drain()
        self._write(h11.EndOfMessage())

    def _write(self, event: h11.Event) -> None:
        self._writer.write(self._state.send(event) or b"")

    async def _response(self) -> h11.Response:
        while not isinstance(head := await self._next_head(), h11.Response):
            pass  # an informational response, such as 100 Continue
        return head

    async def _next_head(self) -> Head:
        while not isinstance(event := await self._next_event(), h11.Response | h11.InformationalResponse):
            pass  # no other event comes before a head
        return event

    async def _next_event(self) -> h11.Event:
        while not isinstance(event := self._state.next_event(), h11.Event):
            self._state.receive_data(await self._reader.read(CHUNK_BYTES))
        return event


def _framing(request: Request) -> list[tuple[bytes, bytes]]:
    """Return the header that says how the body of ``request`` ends; none without a body."""
    length = request.headers.get("content-length")
    if length is not None:
        return [(b"content-length", length.encode())] if int(length) else []
    return [(b"transfer-encoding", b"chunked")] if "transfer-encoding" in request.headers else []
