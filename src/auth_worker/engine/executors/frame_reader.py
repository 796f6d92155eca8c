"""Reads the frames that a worker process sends, with its socket registered at the event loop only once."""

from __future__ import annotations

import asyncio
import socket

from auth_worker.engine.executors.transport import LENGTH

MOST_BYTES = 64 * 1024
"""How many bytes are read at a time."""


class FrameReader:
    """Reads frames from ``connection``, which does not block. Serves one event loop at a time.

    ``loop.sock_recv`` would register and unregister the socket for each of them, which is a third of what a short
    job costs the service.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._received = bytearray()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._end: Exception | None = None

    def look_for_end(self) -> bool:
        """Return whether the other side has closed the socket, even if the event loop has not noticed it yet."""
        if self._end is None:
            self._read()
        return self._end is not None

    async def next(self) -> bytes:
        """Return the body of the next frame. Raises ``EOFError`` or ``OSError`` once there are no more."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self.close()
            self._loop = loop
            loop.add_reader(self._socket.fileno(), self._read)
        while (body := self._whole_frame()) is None:
            if self._end is not None:
                raise self._end
            self._waiter = loop.create_future()
            await self._waiter
        return body

    def close(self) -> None:
        """Unregister the socket, before it is closed."""
        loop, self._loop = self._loop, None
        if loop is not None and not loop.is_closed():
            loop.remove_reader(self._socket.fileno())

    def _whole_frame(self) -> bytes | None:
        received = self._received
        if len(received) < LENGTH.size:
            return None
        end = LENGTH.size + LENGTH.unpack_from(received)[0]
        if len(received) < end:
            return None
        with memoryview(received) as view:
            body = bytes(view[LENGTH.size : end])
        del received[:end]
        return body

    def _read(self) -> None:
        try:
            part = self._socket.recv(MOST_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._end = error
        else:
            self._received += part
            self._end = None if part else EOFError()
        if self._end is not None:
            self.close()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
