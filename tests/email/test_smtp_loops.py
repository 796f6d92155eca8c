"""One mail service in several event loops and in forked children."""

from __future__ import annotations

import asyncio
import gc
import os
from pathlib import Path

import pytest

from support.forking import program
from support.mail_servers import ScriptedServer, a_mail, plain

PROGRAM = Path(__file__).parents[1] / "support" / "forked_mailers.py"


async def test_each_loop_has_connections_of_its_own() -> None:
    async with ScriptedServer() as server:
        service = plain(server.port, connections=1)

        async def send_two() -> None:
            await asyncio.gather(*(service.send(a_mail()) for _ in range(2)))

        await send_two()
        for _ in range(2):
            await asyncio.to_thread(asyncio.run, send_two())
        await asyncio.gather(*(asyncio.to_thread(asyncio.run, send_two()) for _ in range(3)))
        await send_two()
        await service.close()
        assert (server.mails, server.connections) == (14, 6)
        gc.collect()


async def test_a_loop_closed_without_a_shutdown_leaves_no_socket() -> None:
    async with ScriptedServer() as server:
        service = plain(server.port)

        def send() -> None:
            loop = asyncio.new_event_loop()
            loop.run_until_complete(service.send(a_mail()))
            loop.close()

        for _ in range(2):
            await asyncio.to_thread(send)
        await service.close()
        gc.collect()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_a_forked_child_sends_over_a_connection_of_its_own(loop: str) -> None:
    async with ScriptedServer() as server:
        await asyncio.to_thread(program, PROGRAM, loop, str(server.port))
        assert (server.mails, server.connections) == (6, 4)
