"""Where Redis is: read from a URL, a mapping or a client; no secret in what is shown."""

from __future__ import annotations

import asyncio
import ssl
import traceback
from typing import Any

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis, Sentinel

from auth_worker.brokers.redis.wire.address import Address
from auth_worker.errors import BrokerUnavailableError, ConfigurationError
from support.servers import free_port

CANARY = "hunter2-canary"


@pytest.mark.parametrize(
    ("url", "expected", "shown"),
    [
        ("redis://cache", {"host": "cache", "port": 6379, "db": 0}, "redis://cache:6379/0"),
        ("redis://cache:7000/2", {"host": "cache", "port": 7000, "db": 2}, "redis://cache:7000/2"),
        ("redis://cache:7000?db=3", {"port": 7000, "db": 3}, "redis://cache:7000/3"),
        ("redis://:p%40ss@cache", {"username": None, "password": "p@ss"}, "redis://cache:6379/0"),
        ("redis://ann:pw@cache", {"username": "ann", "password": "pw"}, "redis://cache:6379/0"),
        ("unix:///run/redis.sock?db=1", {"path": "/run/redis.sock", "db": 1}, "unix:///run/redis.sock?db=1"),
        (
            "redis+sentinel://ann:p%40w@a:1,b:2/primary/3",
            {
                "sentinels": (("a", 1), ("b", 2)),
                "sentinel_service": "primary",
                "db": 3,
                "username": "ann",
                "password": "p@w",
                "tls": None,
            },
            "redis+sentinel://a:1,b:2/primary/3",
        ),
    ],
)
def test_a_url_is_read_and_shown_without_its_secret(url: str, expected: dict[str, Any], shown: str) -> None:
    address = Address.of(url)
    assert {name: getattr(address, name) for name in expected} == expected
    assert str(address) == shown


@pytest.mark.parametrize("url", ["rediss://cache:6380", "rediss+sentinel://a:1/primary"])
def test_a_secure_url_verifies_who_answers(url: str) -> None:
    tls = Address.of(url).tls
    assert tls is not None
    assert (tls.verify_mode, tls.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert tls.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_a_secure_url_is_shown_as_one() -> None:
    assert str(Address.of("rediss://cache:6380")) == "rediss://cache:6380/0"


def test_a_mapping_is_read_as_redis_py_reads_it() -> None:
    address = Address.of({"host": "cache", "port": "7000", "db": 2, "username": "ann", "password": "pw"})
    assert address == Address("cache", 7000, None, 2, "ann", "pw")
    assert Address.of({"unix_socket_path": "/run/redis.sock"}).path == "/run/redis.sock"
    assert Address.of({"host": "cache", "ssl": True}).tls is not None
    assert Address.of({"host": "cache", "ssl": False}).tls is None
    relaxed = Address.of({"host": "cache", "ssl": True, "ssl_check_hostname": False}).tls
    assert relaxed is not None
    assert (relaxed.check_hostname, relaxed.verify_mode) == (False, ssl.CERT_REQUIRED)


@pytest.mark.parametrize(
    "client",
    [
        Redis(host="cache", port=7000, db=2, username="ann", password="pw"),
        Redis.from_url("redis://ann:pw@cache:7000/2"),
    ],
    ids=["arguments", "url"],
)
def test_a_client_is_taken_over(client: Redis) -> None:
    assert Address.of(client) == Address("cache", 7000, None, 2, "ann", "pw")


@pytest.mark.parametrize(
    "client", [Redis(host="cache", ssl=True), Redis.from_url("rediss://cache")], ids=["arguments", "url"]
)
def test_a_client_that_speaks_tls_is_taken_over_with_it(client: Redis) -> None:
    assert Address.of(client).tls is not None


def test_a_client_found_by_sentinels_is_refused_with_the_remedy() -> None:
    client = Sentinel([("a", 26379)]).master_for("primary")  # type: ignore[no-untyped-call]
    with pytest.raises(ConfigurationError, match=r"redis\+sentinel://"):
        Address.of(client)


def test_an_address_is_its_own() -> None:
    address = Address("cache")
    assert Address.of(address) is address


@pytest.mark.parametrize(
    "connection",
    [
        "",
        "cache:6379",
        "http://cache",
        "redis+cluster://cache",
        "redis://cache:port",
        "redis://cache:70000",
        "redis://cache?db=x",
        "redis://cache/first",
        "redis://[::1",
        "redis+sentinel://a:1",
        "redis+sentinel://a/primary",
        "redis+sentinel://a:1/primary/x",
        "redis+sentinel://[::1/primary",
        "rediss://cache?ssl_cert_reqs=none",
        "rediss://cache?ssl_cert_reqs=optional",
        "rediss://cache?ssl_ca_certs=/nowhere/ca.pem",
        "rediss://cache?ssl_certfile=/nowhere/cert.pem",
        {},
        {"hostname": "cache"},
        {"host": "cache", "port": "web"},
        {"host": "cache", "db": "first"},
        None,
        5,
        object(),
    ],
)
def test_what_is_no_address_is_refused_naming_the_argument(connection: Any) -> None:
    with pytest.raises(ConfigurationError, match="redis_connection"):
        Address.of(connection)


@pytest.mark.parametrize(
    "url",
    [
        f"redis:/:{CANARY}@cache",
        f":{CANARY}@cache:6379",
        f"{CANARY}@cache://x",
        f"redis://:{CANARY}/x@cache:6379",
        f"redis://ann:{CANARY}#@cache:port",
        f"redis+sentinel://:{CANARY}@a:1",
        f"redis+sentinel://:{CANARY}@a:b/primary",
        f"redis+sentinel://:{CANARY}@[::1/primary",
        f"redis+cluster://:{CANARY}@a",
        f"http://:{CANARY}@a:1",
        f"rediss://:{CANARY}@cache?ssl_cert_reqs=none",
    ],
)
def test_a_refused_url_does_not_tell_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        Address.of(url)
    assert CANARY not in "".join(traceback.format_exception(refusal.value))


@pytest.mark.parametrize(
    "connection",
    [
        f"redis://ann:{CANARY}@cache",
        f"redis+sentinel://ann:{CANARY}@a:1/primary",
        {"host": "cache", "password": CANARY},
        Redis(host="cache", password=CANARY),
    ],
    ids=["url", "sentinels", "mapping", "client"],
)
def test_a_password_is_kept_and_never_shown(connection: Any) -> None:
    address = Address.of(connection)
    assert address.password == CANARY
    assert CANARY not in repr(address) + str(address)


@given(text=st.text(max_size=40) | st.text(max_size=40).map("redis://{}".format))
def test_any_text_is_an_address_or_a_configuration_error(text: str) -> None:
    try:
        address = Address.of(text)
    except ConfigurationError:
        return
    assert address.port >= 0


async def a_sentinel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers SENTINEL GET-MASTER-ADDR-BY-NAME as one that watches ``primary`` at 10.0.0.7:7000."""
    parser = hiredis.Reader()
    while data := await reader.read(4096):
        parser.feed(data)
        while (command := parser.gets()) is not False:
            known = command == [b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", b"primary"]
            writer.write(b"*2\r\n$8\r\n10.0.0.7\r\n$4\r\n7000\r\n" if known else b"*-1\r\n")
    writer.close()


async def test_a_sentinel_is_asked_where_the_primary_is() -> None:
    async with await asyncio.start_server(a_sentinel, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await Address.of(f"redis+sentinel://127.0.0.1:{port}/primary").resolve() == ("10.0.0.7", 7000)
        with pytest.raises(BrokerUnavailableError, match="knows the primary of 'other'"):
            await Address.of(f"redis+sentinel://127.0.0.1:{port}/other").resolve()


async def test_dead_sentinels_hold_nobody_up() -> None:
    async with await asyncio.start_server(a_sentinel, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        sentinels = ",".join(f"127.0.0.1:{port}" for port in (free_port(), free_port(), port))
        async with asyncio.timeout(2):
            assert await Address.of(f"redis+sentinel://{sentinels}/primary").resolve() == ("10.0.0.7", 7000)


async def test_without_sentinels_an_address_is_where_it_says() -> None:
    assert await Address("cache", 7000).resolve() == ("cache", 7000)


async def test_sentinels_that_do_not_answer_are_named() -> None:
    address = Address(sentinels=(("127.0.0.1", free_port()),), sentinel_service="primary", password=CANARY)
    with pytest.raises(
        BrokerUnavailableError, match=r"no sentinel of redis.* knows the primary of 'primary'"
    ) as error:
        await address.resolve()
    assert CANARY not in str(error.value)
