"""A TCP proxy between a worker and its server that breaks connections the way networks do."""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Self


class Proxy:
    """Listens on 127.0.0.1 and forwards to ``port``. Set its attributes to break the line, ``heal`` to mend it.

    ``target``: the port that new connections are forwarded to.

    ``delay`` (s) is added to each direction. ``black_hole`` swallows everything, both ways, without closing.
    ``refuse`` closes new connections at once. ``swallow_reply_to``: a request containing it is forwarded, and once
    its reply comes, that is swallowed and the connection reset: carried out, but never acknowledged.
    """

    def __init__(self, port: int) -> None:
        self.target = port
        self.delay = 0.0
        self.black_hole = False
        self.refuse = False
        self.swallow_reply_to: bytes | None = None
        self.swallowed = 0
        self.accepted = 0
        self._old_connections_are_dead = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port on which it listens."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        """The URL to connect to."""
        return f"redis://127.0.0.1:{self.port}/0"

    def heal(self) -> None:
        """Forward everything again. Connections that were cut or half-open stay so."""
        self.delay, self.black_hole, self.refuse, self.swallow_reply_to = 0.0, False, False, None

    def half_open(self) -> None:
        """Silence existing connections forever, without a FIN or RST. New ones work."""
        self._old_connections_are_dead = self.accepted

    def cut(self) -> None:
        """Reset every connection."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuse:
            writer.transport.abort()
            return
        self.accepted += 1
        number = self.accepted
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.target)
            self._writers |= {writer, up_writer}
            line = _Line(number)
            await asyncio.gather(
                self._pump(line, reader, up_writer, requests=True),
                self._pump(line, up_reader, writer, requests=False),
            )
        except (OSError, asyncio.CancelledError):
            pass  # asyncio's streams complain of a cancelled handler
        finally:
            self._tasks.discard(task)
            for one in (writer, locals().get("up_writer")):
                if one is not None:
                    self._writers.discard(one)
                    one.transport.abort()

    async def _pump(
        self, line: _Line, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, requests: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if self.delay:
                    await asyncio.sleep(self.delay)
                if self.black_hole or line.number <= self._old_connections_are_dead:
                    continue
                if requests and self.swallow_reply_to and self.swallow_reply_to in data:
                    line.doomed = True
                if not requests and line.doomed:
                    self.swallowed += 1
                    break
                writer.write(data)
                await writer.drain()
        writer.transport.abort()
        if not requests and line.doomed:
            self.cut()


class _Line:
    def __init__(self, number: int) -> None:
        self.number = number
        self.doomed = False
