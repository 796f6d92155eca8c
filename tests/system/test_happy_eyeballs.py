"""Connecting to a host with several addresses: the first one that accepts is used, on either event loop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import time
from collections.abc import Iterator

import pytest

from auth_worker.brokers.redis.wire.address import Address
from auth_worker.brokers.redis.wire.link import Link
from auth_worker.email.smtp import SmtpEmailService
from auth_worker.errors import BrokerUnavailableError
from auth_worker.system.happy_eyeballs import connect
from support.black_holes import LOOPS, black_hole, resolve, run_on
from support.fake_servers import impostor
from support.mail_servers import ScriptedServer
from support.servers import Server, free_port

BOUND_S = 10.0
"""Far less than the kernel, or our own timeouts, would wait for an address that drops packets."""
pytestmark = pytest.mark.parametrize("loop", list(LOOPS))


@pytest.fixture
def good() -> Iterator[int]:
    """The port of a listener on 127.0.0.1."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@contextlib.contextmanager
def black_holes(port: int, *addresses: str) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for address in addresses:
            stack.enter_context(black_hole(address, port))
        yield


def open_sockets() -> int:
    gc.collect()
    count = 0
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the descriptor of the listing itself
            count += os.readlink(f"/proc/self/fd/{descriptor}").startswith("socket:")
    return count


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["127.0.0.2", "127.0.0.1"],
        ["127.0.0.1", "127.0.0.2"],
        ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.1"],
        ["::1", "127.0.0.1"],
        ["127.0.0.9", "127.0.0.2", "127.0.0.1"],
        ["127.0.0.1", "127.0.0.1"],
    ],
    ids=["one", "swallowed first", "good first", "three swallowed", "IPv6 first", "refused first", "twice"],
)
def test_the_address_that_accepts_is_found(
    loop: str, addresses: list[str], good: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(monkeypatch, {"many": addresses})
    holes = {"127.0.0.2", "127.0.0.3", "127.0.0.4", "::1"}.intersection(addresses)
    with black_holes(good, *holes):

        async def story() -> tuple[str, int, int]:
            own = open_sockets()
            with await connect("many", good) as connection:
                await asyncio.sleep(0.01)
                return connection.getpeername(), connection.gettimeout() == 0, open_sockets() - own

        began = time.monotonic()
        peer, non_blocking, opened = run_on(loop, story())
        assert (peer, non_blocking) == (("127.0.0.1", good), True)
        assert opened == 1, "the sockets that lost are closed"
        assert time.monotonic() - began < BOUND_S


def test_address_families_alternate(loop: str, good: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host with many broken IPv6 addresses is reached over IPv4 as the second one."""
    resolve(monkeypatch, {"many": ["::1", *(f"::1:{number}" for number in range(40)), "127.0.0.1"]})
    with black_hole("::1", good):
        began = time.monotonic()

        async def story() -> None:
            (await connect("many", good)).close()

        run_on(loop, story())
        assert time.monotonic() - began < BOUND_S


def test_a_refused_address_costs_no_wait(loop: str, good: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty refusals take far less time than forty delays would."""
    resolve(monkeypatch, {"many": [*(f"127.0.1.{number}" for number in range(1, 41)), "127.0.0.1"]})

    async def story() -> None:
        (await connect("many", good)).close()

    began = time.monotonic()
    run_on(loop, story())
    assert time.monotonic() - began < BOUND_S


def test_if_no_address_accepts_each_one_is_named(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(monkeypatch, {"many": ["127.0.0.1", "127.0.0.2"], "none": []})
    port = free_port()

    async def story() -> None:
        with pytest.raises(ConnectionRefusedError, match=r"127\.0\.0\.1.*127\.0\.0\.2"):
            await connect("many", port)
        with pytest.raises(OSError, match="none resolves to no address"):
            await connect("none", port)

    run_on(loop, story())


def test_a_cancelled_connection_attempt_leaves_no_socket(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(monkeypatch, {"many": ["127.0.0.2", "127.0.0.3"]})
    with black_hole("127.0.0.2") as port, black_hole("127.0.0.3", port):

        async def story() -> tuple[int, int]:
            before = open_sockets()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.4):
                    await connect("many", port)
            await asyncio.sleep(0.01)
            return before, open_sockets()

        before, after = run_on(loop, story())
        assert after == before


def test_redis_is_reached_if_its_first_address_drops_packets(
    loop: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(monkeypatch, {"redis.test": ["127.0.0.2", "127.0.0.1"]})

    async def story() -> bytes:
        link = Link(Address("redis.test", server.port), name="two addresses")
        await link.start(BOUND_S)
        try:
            return bytes(await link.execute("PING"))
        finally:
            await link.stop()

    with black_hole("127.0.0.2", server.port):
        assert run_on(loop, story()) == b"PONG"


def test_a_sentinel_is_reached_if_its_first_addresses_drop_packets(
    loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(monkeypatch, {"sentinel.test": ["127.0.0.2", "127.0.0.3", "127.0.0.1"]})
    with impostor(lambda: lambda data: b"*2\r\n$8\r\n10.0.0.7\r\n$4\r\n7000\r\n") as port:
        address = Address.of(f"redis+sentinel://sentinel.test:{port}/primary")
        with black_holes(port, "127.0.0.2", "127.0.0.3"):
            assert run_on(loop, address.resolve()) == ("10.0.0.7", 7000)


def test_the_mail_server_is_reached_if_its_first_address_drops_packets(
    loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(monkeypatch, {"mail.test": ["127.0.0.2", "127.0.0.1"]})

    async def story() -> None:
        async with ScriptedServer() as server:
            with black_hole("127.0.0.2", server.port):
                service = SmtpEmailService("mail.test", port=server.port, security="none", timeout=BOUND_S)
                await service.check()
                await service.close()

    run_on(loop, story())


def test_the_time_to_connect_is_bounded_whatever_the_number_of_addresses(
    loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auth_worker.brokers.redis.wire.link.CONNECT_TIMEOUT", 0.6)
    addresses = [f"127.0.0.{number}" for number in range(2, 8)]
    resolve(monkeypatch, {"redis.test": addresses})

    async def story(port: int) -> None:
        link = Link(Address("redis.test", port), name="nowhere")
        began = time.monotonic()
        with pytest.raises(BrokerUnavailableError, match="no answer"):
            await link.start(1.0)
        assert time.monotonic() - began < BOUND_S

    with black_hole(addresses[0]) as port, black_holes(port, *addresses[1:]):
        run_on(loop, story(port))
