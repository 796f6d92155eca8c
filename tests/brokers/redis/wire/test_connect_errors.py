"""A refusal by the server is reported with its remedy."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator

import pytest
from redis.asyncio import Redis

from auth_worker.brokers.redis.wire.address import Address
from auth_worker.brokers.redis.wire.connect_errors import tls_error
from auth_worker.brokers.redis.wire.link import Link
from auth_worker.errors import BrokerBusyError, BrokerError, BrokerUnavailableError
from support.processors import eventually
from support.servers import Server


@pytest.fixture(scope="module")
def guarded() -> Iterator[Server]:
    """The default user has no password, ``ann`` may do nothing, and there are four databases."""
    with Server(config={"databases": 4}) as server:
        assert server.ask("ACL SETUSER ann on >s3cret -@all").startswith(b"+OK")
        yield server


REFUSED = {
    "redis://ann:wr0ng@{place}": "WRONGPASS .*; check user and password",
    "redis://ann:s3cret@{place}": "NOPERM .*; .*`auth-worker doctor --acl`",
    "redis://:s3cret@{place}": "ERR AUTH .*; it has no password",
    "redis://{place}/9": "DB index is out of range; use another database",
}


@pytest.mark.parametrize("url", REFUSED)
async def test_a_refusal_is_reported_at_once_with_its_remedy(guarded: Server, url: str) -> None:
    link = Link(Address.of(url.format(place=f"127.0.0.1:{guarded.port}")), name="test")
    with pytest.raises(BrokerError, match=REFUSED[url]) as refused:
        await link.start(60)
    assert not isinstance(refused.value, BrokerUnavailableError)
    assert "within" not in str(refused.value)
    assert "wr0ng" not in str(refused.value)


async def test_a_server_that_wants_a_password_says_how_to_give_it(guarded: Server) -> None:
    assert guarded.ask("CONFIG SET requirepass s3cret").startswith(b"+OK")
    try:
        with pytest.raises(BrokerError, match=r"NOAUTH .*; it requires a password: redis://user:password@host"):
            await Link(Address.of(guarded.url), name="test").start(60)
    finally:
        async with Redis(port=guarded.port, password="s3cret") as admin:
            await admin.config_set("requirepass", "")


async def test_a_server_with_too_many_clients_is_waited_for(guarded: Server) -> None:
    async with Redis(port=guarded.port) as admin:
        await admin.config_set("maxclients", 1)
        link = Link(Address.of(guarded.url), name="test")
        starting = asyncio.create_task(link.start(20))
        try:
            refusal = await eventually(lambda: link.last_error, "it is refused")
            assert isinstance(refusal, BrokerBusyError)
            assert "raise its maxclients" in str(refusal)
        finally:
            await admin.config_set("maxclients", 100)
        await starting
        await link.stop()


def test_a_line_that_breaks_in_the_handshake_may_come_back() -> None:
    """As with a TLS proxy whose Redis is down."""
    assert isinstance(tls_error(ssl.SSLEOFError(8, "EOF occurred")), BrokerUnavailableError)
    assert not isinstance(tls_error(ssl.SSLError(1, "wrong version")), BrokerUnavailableError)
