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

from auth_worker.http.listener import RESERVE, Listener

NOTHING = os.stat(os.devnull).st_rdev


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


async def test_a_forked_child_has_nothing_of_what_the_listener_keeps_in_reserve() -> None:
    """An open file is shared with a child: there what blocks the parent's would show."""
    before = opened()
    listening = socket.create_server(("127.0.0.1", 0))
    listener = Listener(listening, lambda: (None, None, {}), lambda: None)
    accepting = asyncio.create_task(listener.run())
    await asyncio.sleep(0)
    reserve = {number for number in opened() - before if os.fstat(number).st_rdev == NOTHING}
    try:
        assert len(reserve) == RESERVE
        for number in reserve:
            os.set_blocking(number, False)
        child = os.fork()
        if child == 0:
            os._exit(sum(not os.get_blocking(number) for number in reserve))
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
    finally:
        accepting.cancel()
        await asyncio.gather(accepting, return_exceptions=True)
        listening.close()
    assert opened() <= before


def opened() -> set[int]:
    """The descriptors that are open now."""
    numbers = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            os.fstat(int(name))
            numbers.add(int(name))
    return numbers
