"""The parent's port reads a body only once a process has asked for it, and passes it on as it comes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from auth_worker.config import Settings
from auth_worker.http.server import QuietServer
from auth_worker.supervisor.http import build_app

Answers = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
SIZE = 20 * 1024 * 1024
HEAD = b"POST /api/v1/queues/q/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
PATIENCE_S = 10


@asynccontextmanager
async def port_before(folder: Path, answer: Answers) -> AsyncIterator[int]:
    """The parent's port, before one process that does ``answer``."""
    address = str(folder / "1")
    child = SimpleNamespace(number=1, pid=1, address=address, has_answered=True)
    supervisor = SimpleNamespace(children=[child], stopping=False, restarts=0)
    app = build_app(cast("Any", supervisor), Settings(), lambda error: None)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with await asyncio.start_unix_server(answer, address):
            serving = asyncio.create_task(QuietServer(app, lambda: None).serve(sockets=[listener]))
            try:
                yield listener.getsockname()[1]
            finally:
                serving.cancel()
                await asyncio.gather(serving, return_exceptions=True)


async def test_a_request_without_a_valid_token_is_refused_before_its_body_is_read(tmp_path: Path) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"expect: 100-continue" in head.lower()
        writer.write(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with port_before(tmp_path, refuse) as port, asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD % SIZE)  # and no body
        assert (await reader.readline()).startswith(b"HTTP/1.1 401")
        writer.close()


async def test_a_large_body_is_passed_on_whole(tmp_path: Path) -> None:
    received = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        received.append(await reader.readexactly(SIZE))
        writer.write(b"HTTP/1.1 201 Yes\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with port_before(tmp_path, take) as port, asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = bytes(range(256)) * (SIZE // 256)
        writer.write(HEAD % SIZE + body)
        assert (await reader.readline()).startswith(b"HTTP/1.1 201")
        writer.close()
    assert received == [body]


async def test_a_process_may_answer_before_the_body_is_complete(tmp_path: Path) -> None:
    async def refuse_size(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await reader.readexactly(1000)
        writer.write(b"HTTP/1.1 413 Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with port_before(tmp_path, refuse_size) as port, asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD % SIZE + b"x" * 1000)
        assert (await reader.readline()).startswith(b"HTTP/1.1 413")
        writer.close()


async def test_a_process_that_dies_while_it_reads_is_reported(tmp_path: Path) -> None:
    async def die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await reader.readexactly(1000)
        writer.transport.abort()

    async with port_before(tmp_path, die) as port, asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD % SIZE + b"x" * 1000)
        assert (await reader.readline()).startswith(b"HTTP/1.1 503")
        writer.close()


async def test_a_process_with_our_server_asks_for_the_body_it_reads(tmp_path: Path) -> None:
    async def echo(scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        start = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]}
        await send(start)
        await send({"type": "http.response.body", "body": body})

    with socket.socket(socket.AF_UNIX) as inner:
        inner.bind(str(tmp_path / "inner"))
        inner.listen()
        serving = asyncio.create_task(QuietServer(echo, lambda: None).serve(sockets=[inner]))

        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            theirs, ours = await asyncio.open_unix_connection(str(tmp_path / "inner"))

            async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
                while data := await source.read(65536):
                    target.write(data)
                    await target.drain()
                target.close()

            await asyncio.gather(copy(reader, ours), copy(theirs, writer), return_exceptions=True)

        async with port_before(tmp_path, relay) as port, asyncio.timeout(PATIENCE_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(HEAD % 300_000 + b"y" * 300_000)
            head = await reader.readuntil(b"\r\n\r\n")
            assert (head.split()[1], await reader.readexactly(300_000)) == (b"200", b"y" * 300_000)
            writer.close()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
