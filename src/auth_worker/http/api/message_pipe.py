"""Passes the messages of one ASGI exchange between the event loop of an application and that of its server."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.types import ASGIApp, Message, Scope

BUFFER_BYTES = 64 * 1024
"""How many bytes of a response may be on their way to the client before a streaming application must wait."""
WITHOUT_BODY = frozenset((204, 304))


class MessagePipe:
    """Runs an application in its own event loop for a request that another event loop serves.

    Create it in the server's loop, and run it in the application's. An application whose response is complete does
    not wait for its client. A stream is cancelled when the client disconnects; any other request runs to its end.
    """

    def __init__(self, body: bytes) -> None:
        self._server_loop = asyncio.get_running_loop()
        self._app_loop: asyncio.AbstractEventLoop | None = None
        self._requests: list[Message] = [{"type": "http.request", "body": body}]
        self._responses: asyncio.Queue[Message | None] = asyncio.Queue()
        self._task: asyncio.Task[Any] | None = None
        self._is_stream = False
        self._unsent = 0
        self._has_room = asyncio.Event()
        self._is_disconnected = False
        self._disconnected = asyncio.Event()

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        """Run ``app``, in its own loop. Raises what it raises."""
        self._app_loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        if self._is_disconnected:
            self._disconnected.set()
        try:
            await app(scope, self._receive, self._send)
        except asyncio.CancelledError:
            if not self._disconnected.is_set():
                raise
        finally:
            self._server_loop.call_soon_threadsafe(self._responses.put_nowait, None)

    async def get(self) -> Message | None:
        """Return the next message of the response, in the server's loop; None at the end.

        Pass it to ``sent`` next.
        """
        return await self._responses.get()

    def sent(self, message: Message) -> None:
        """Note that ``message`` has been sent to the client."""
        if self._app_loop is not None:
            self._app_loop.call_soon_threadsafe(self._note_sent, _size_of(message))

    def disconnect(self) -> None:
        """Note that the client has disconnected."""
        self._is_disconnected = True  # before the loop is read: ``run`` does it the other way round
        if self._app_loop is not None:
            self._app_loop.call_soon_threadsafe(self._note_disconnected)

    async def _receive(self) -> Message:
        if self._requests:
            return self._requests.pop()
        await self._disconnected.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._is_stream = is_stream(message)
        self._unsent += _size_of(message)
        self._server_loop.call_soon_threadsafe(self._responses.put_nowait, message)
        while message.get("more_body") and self._unsent >= BUFFER_BYTES:
            self._has_room.clear()
            await self._has_room.wait()

    def _note_sent(self, size: int) -> None:
        self._unsent -= size
        self._has_room.set()

    def _note_disconnected(self) -> None:
        self._disconnected.set()
        if self._is_stream and self._task is not None:
            self._task.cancel()


def is_stream(start: Message) -> bool:
    """Whether the response that starts with ``start`` is produced while it is sent, perhaps without an end."""
    has_length = any(name.lower() == b"content-length" for name, _ in start.get("headers", ()))
    return not has_length and start["status"] not in WITHOUT_BODY


def has_events(start: Message) -> bool:
    """Whether the response that starts with ``start`` consists of server-sent events."""
    kinds = [value for name, value in start.get("headers", ()) if name.lower() == b"content-type"]
    return any(kind.startswith(b"text/event-stream") for kind in kinds)


def _size_of(message: Message) -> int:
    return len(message.get("body", b""))
