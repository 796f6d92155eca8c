"""A link to Redis: what it takes for a broken line, and what it does not."""

from __future__ import annotations

import pytest

from auth_worker.brokers.redis.wire.address import Address
from auth_worker.brokers.redis.wire.link import Link
from auth_worker.errors import BrokerUnavailableError
from support.fake_servers import impostor, redis_that_throws_out_the_first
from support.proxy import Proxy
from support.servers import Server

SILENCE_S = 0.4
LARGE = 64 * 2**16
"""More than a line passes within the time that it may be silent."""


async def test_a_large_reply_over_a_slow_line_is_waited_for(server: Server) -> None:
    async with Proxy(server.port) as line:
        link = Link(Address.of(line.url), name="slow", silence_limit=SILENCE_S)
        await link.start(5)
        try:
            await link.execute("SET", "large", b"x" * LARGE)
            line.delay = SILENCE_S / 16
            assert len(await link.execute("GET", "large")) == LARGE
        finally:
            await link.stop()
            server.flush()


async def test_a_line_that_passes_nothing_is_given_up(server: Server) -> None:
    async with Proxy(server.port) as line:
        link = Link(Address.of(line.url), name="dead", silence_limit=SILENCE_S)
        await link.start(5)
        try:
            line.black_hole = True
            with pytest.raises(BrokerUnavailableError, match="no answer for"):
                await link.execute("PING")
        finally:
            await link.stop()


async def test_a_connection_that_is_lost_with_the_last_of_its_greeting_is_made_again() -> None:
    with impostor(redis_that_throws_out_the_first()) as port:
        link = Link(Address.of(f"redis://127.0.0.1:{port}/0"), name="thrown out")
        await link.start(5)
        try:
            assert await link.execute("PING") == b"PONG"
        finally:
            await link.stop()
