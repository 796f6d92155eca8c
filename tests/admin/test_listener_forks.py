"""A forked child holds no connection of the HTTP port open."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from auth_worker.admin.listener import Listener


async def answer(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def test_a_client_gets_its_end_of_file_although_a_forked_child_lives() -> None:
    config = uvicorn.Config(answer, log_config=None, lifespan="off")
    config.load()
    listening = socket.create_server(("127.0.0.1", 0))
    listener = Listener(listening, lambda: (config, ServerState(), {}), lambda: None)
    accepting = asyncio.create_task(listener.run())
    reader, writer = await asyncio.open_connection(*listening.getsockname())
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        child = os.fork()
        if child == 0:
            signal.pause()
            os._exit(0)
        try:
            listener.close()
            with contextlib.suppress(ConnectionResetError):  # an end as well
                assert await asyncio.wait_for(reader.read(), 5) == b""
        finally:
            os.kill(child, signal.SIGKILL)
            await asyncio.to_thread(os.waitpid, child, 0)
    finally:
        accepting.cancel()
        writer.close()
        listening.close()
