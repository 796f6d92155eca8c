"""What is taken over of a redis-py client: every option is used, makes no difference, or is refused by name."""

from __future__ import annotations

import inspect
import socket
import ssl
from typing import Any

import pytest
import redis
from redis.asyncio import BlockingConnectionPool, Connection, ConnectionPool, Redis, RedisCluster, Sentinel
from redis.asyncio.connection import AbstractConnection, SSLConnection, UnixDomainSocketConnection
from redis.credentials import UsernamePasswordCredentialProvider
from redis.maint_notifications import MaintNotificationsConfig

from auth_worker.brokers.redis.wire.address import Address
from auth_worker.brokers.redis.wire.client_options import HARMLESS, REFUSED, USED
from auth_worker.errors import ConfigurationError

KINDS = (
    *(Redis, AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection),
    *(ConnectionPool, BlockingConnectionPool),
)


class OwnConnection(Connection):
    pass


class OwnPool(ConnectionPool):
    pass


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.__name__))
def test_every_option_of_redis_py_is_in_one_list(kind: Any) -> None:
    lists = {"used": USED, "harmless": frozenset(HARMLESS), "refused": frozenset(REFUSED)}
    for name, parameter in inspect.signature(kind.__init__).parameters.items():
        if name != "self" and parameter.kind is not inspect.Parameter.VAR_KEYWORD:
            assert len([each for each, names in lists.items() if name in names]) == 1, name


def test_every_list_gives_its_reasons() -> None:
    assert all(len(reason) > 10 for reason in (*HARMLESS.values(), *REFUSED.values()))


@pytest.mark.parametrize(
    "client",
    [
        Redis(),
        Redis(protocol=3),
        Redis(decode_responses=True, client_name="mine", health_check_interval=5, socket_timeout=1),
        Redis(single_connection_client=True),
        Redis(connection_pool=BlockingConnectionPool(host="localhost", timeout=3)),
        Redis.from_url("redis://localhost?socket_timeout=3&max_connections=4&protocol=3"),
        Redis(maint_notifications_config=MaintNotificationsConfig(enabled="auto"), protocol=3),
    ],
)
def test_what_makes_no_difference_is_taken(client: Redis) -> None:
    assert Address.of(client) == Address()


@pytest.mark.parametrize(
    ("connection", "said"),
    [
        (Redis(redis_connect_func=print), "redis_connect_func is not supported"),
        (
            Redis(protocol=3, maint_notifications_config=MaintNotificationsConfig(enabled=True)),
            "maint_notifications_config is not supported",
        ),
        (
            Redis(connection_pool=ConnectionPool(connection_class=OwnConnection)),
            "connection_class=OwnConnection is not supported",
        ),
        (Redis(connection_pool=OwnPool()), "connection_pool=OwnPool is not supported"),
        (Sentinel([("a", 26379)]).slave_for("primary"), r"redis\+sentinel://"),  # type: ignore[no-untyped-call]
        (RedisCluster(host="a"), r"redis\+cluster://.*, not redis.asyncio.cluster.RedisCluster"),
        (redis.Redis(), "redis.asyncio.Redis, not redis.client.Redis"),
        ({"connection_pool": ConnectionPool()}, "connection_pool is not supported"),
        ({"hostname": "a"}, "'hostname' is not supported.*did you mean 'host'"),
        ({"host": "a", "pasword": "x"}, "'pasword' is not supported.*did you mean 'password'"),
        ({"host": "a", "ssl_ca_cert": "x"}, "did you mean 'ssl_ca_certs'"),
        ({"host": "a", "zzz": 1}, "'zzz' is not supported"),
        ({1: 2}, "'1' is not supported"),
        ({"host": "a", "ssl": True, "ssl_validate_ocsp": True}, "ssl_validate_ocsp is not supported"),
        ("redis://a?sockettimeout=3", "did you mean 'socket_timeout'"),
        ("redis://a?connection_class=x", "connection_class is not supported"),
        ("rediss://a?ssl_min_version=769", "ssl_min_version below TLS 1.2 is not supported"),
        ("rediss://a?ssl_ciphers=none", "ssl_ciphers names no cipher"),
        ("rediss+sentinel://a:1/primary?ssl_ca_cert=x", "'ssl_ca_cert' is not an option of"),
        ("redis+cluster://a:1?sentinel_pasword=x", "'sentinel_pasword' is not an option of"),
        ({"host": "a", "ssl": True, "ssl_cert_reqs": ssl.CERT_NONE}, "ssl_cert_reqs"),
        ({"host": "a", "ssl": True, "ssl_keyfile": "key.pem"}, "ssl_keyfile needs"),
        ({"host": "a", "port": 70000}, "port must be from 1 to 65535"),
        ({"host": "a", "credential_provider": object()}, "credential_provider must have get_credentials"),
        (
            {"username": "u", "credential_provider": UsernamePasswordCredentialProvider("u", "p")},
            "cannot be combined with username",
        ),
        ({"host": "a", "password": b"\xff"}, "must be UTF-8"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(connection: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=f"redis_connection.*{said}"):
        Address.of(connection)


def test_what_concerns_tls_is_honoured() -> None:
    client = Redis(
        ssl=True,
        ssl_min_version=ssl.TLSVersion.TLSv1_3,
        ssl_ciphers="ECDHE-RSA-AES256-GCM-SHA384",
        ssl_check_hostname=False,
        ssl_include_verify_flags=[ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN],
        ssl_exclude_verify_flags=[ssl.VerifyFlags.VERIFY_X509_TRUSTED_FIRST],
    )
    tls = Address.of(client).tls
    assert tls is not None
    assert tls.minimum_version == ssl.TLSVersion.TLSv1_3
    assert "ECDHE-RSA-AES256-GCM-SHA384" in {cipher["name"] for cipher in tls.get_ciphers()}
    assert "AES128-SHA" not in {cipher["name"] for cipher in tls.get_ciphers()}
    assert not tls.check_hostname
    assert tls.verify_mode is ssl.CERT_REQUIRED
    assert tls.verify_flags & ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    assert not tls.verify_flags & ssl.VerifyFlags.VERIFY_X509_TRUSTED_FIRST


def test_a_mapping_that_switches_tls_off_has_none() -> None:
    assert Address.of({"host": "a", "ssl": False, "ssl_ca_certs": None}).tls is None
    assert Address.of({"host": "a", "ssl": "false"}).tls is None
    assert Address.of({"host": "a", "ssl_cert_reqs": "required"}).tls is not None


def test_keepalive_options_and_odd_passwords_are_taken() -> None:
    options = {socket.TCP_KEEPIDLE: 30}
    assert Address.of(Redis(socket_keepalive_options=options)).socket_options == (
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    )
    assert Address.of({"password": b"p\xc3\xa4ss"}).password == "päss"
    assert Address.of({"password": 1234}).password == "1234"
    assert Address.of(Redis(unix_socket_path="/run/redis.sock")).path == "/run/redis.sock"
