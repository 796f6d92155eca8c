"""Sorts redis-py's connection options into used, irrelevant and refused ones.

Every option of redis-py is in exactly one of the three lists. An option in none of them is refused as unknown, so
that nothing a user asks for is dropped silently.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import (
    BlockingConnectionPool,
    Connection,
    ConnectionPool,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.sentinel import SentinelConnectionPool

from auth_worker.errors import ConfigurationError

USED = frozenset(
    (
        *("host", "port", "path", "unix_socket_path", "db", "socket_keepalive_options"),
        *("username", "password", "credential_provider"),
        *("ssl", "ssl_keyfile", "ssl_certfile", "ssl_password", "ssl_cert_reqs", "ssl_check_hostname"),
        *("ssl_ca_certs", "ssl_ca_data", "ssl_ca_path", "ssl_min_version", "ssl_ciphers"),
        *("ssl_include_verify_flags", "ssl_exclude_verify_flags"),
    )
)
HARMLESS: dict[str, str] = {
    **dict.fromkeys(
        ("socket_timeout", "socket_connect_timeout", "health_check_interval", "timeout"),
        "the connections here have time limits and a watch of their own",
    ),
    **dict.fromkeys(
        ("retry", "retry_on_timeout", "retry_on_error"), "each command here decides whether it may be repeated"
    ),
    **dict.fromkeys(
        ("encoding", "encoding_errors", "decode_responses", "encoder_class", "parser_class", "legacy_responses"),
        "how a client shows values; BullMQ's are UTF-8",
    ),
    **dict.fromkeys(
        ("protocol", "socket_read_size", "socket_type", "himport_registry"), "how a client speaks and reads"
    ),
    **dict.fromkeys(
        ("client_name", "lib_name", "lib_version", "driver_info"), "the connections here have names of their own"
    ),
    **dict.fromkeys(
        ("max_connections", "queue_class", "single_connection_client", "auto_close_connection_pool"),
        "the size of a client's own pool",
    ),
    "socket_keepalive": "it is always on",
    "event_dispatcher": "a client's own listeners, about its own connections",
    **dict.fromkeys(
        (
            *("maint_notifications_pool_handler", "oss_cluster_maint_notifications_handler"),
            *("maintenance_state", "maintenance_notification_hash"),
            *("orig_host_address", "orig_socket_timeout", "orig_socket_connect_timeout"),
        ),
        "a client's record of announced maintenance; a connection that is closed is made again at once",
    ),
}
REFUSED: dict[str, str] = {
    "redis_connect_func": "connections here log in by user and password or by a credential_provider",
    "maint_notifications_config": "leave it at its default",
    "connection_pool": "give the client that uses it, or its options",
    "connection_class": "the scheme of a URL, ssl=True or path choose the kind of connection",
    **dict.fromkeys(
        ("ssl_validate_ocsp", "ssl_validate_ocsp_stapled", "ssl_ocsp_context", "ssl_ocsp_expected_cert"),
        "certificates are not checked by OCSP",
    ),
}
"""Refused if they are set to anything but None, False or redis-py's own default."""
_FALSE = ("", "0", "f", "false", "n", "no")
_CONNECTIONS = (Connection, SSLConnection, UnixDomainSocketConnection)


def options_of(client: Redis) -> dict[str, Any]:
    """Return the connection options of a client. Raises ``ConfigurationError`` for one that cannot be adopted."""
    pool = client.connection_pool
    if isinstance(pool, SentinelConnectionPool):
        raise ConfigurationError(
            "redis_connection: a client made by Sentinel.master_for cannot be used; give the URL "
            "redis+sentinel://host:26379,host:26379/service-name"
        )
    for what, kind, known in (
        ("connection_pool", type(pool), (ConnectionPool, BlockingConnectionPool)),
        ("connection_class", pool.connection_class, _CONNECTIONS),
    ):
        if kind not in known:
            names = " and ".join(each.__name__ for each in known)
            raise ConfigurationError(
                f"redis_connection: {what}={kind.__name__} is not supported: what it adds would be lost; take "
                f"redis-py's own {names}, or give a URL"
            )
    return {**pool.connection_kwargs, "ssl": pool.connection_class is SSLConnection}


def check_options(options: Mapping[Any, Any]) -> None:
    """Raise ``ConfigurationError`` for an option that is unknown or not supported, naming it."""
    for name, value in options.items():
        if name in REFUSED:
            if not _is_off(name, value):
                raise ConfigurationError(f"redis_connection: {name} is not supported: {REFUSED[name]}")
        elif name not in USED and name not in HARMLESS:
            known = [*USED, *HARMLESS]
            nearest = get_close_matches(str(name), known, n=1, cutoff=0.4)
            remedy = f"did you mean {nearest[0]!r}?" if nearest else "give redis-py's connection options"
            raise ConfigurationError(
                f"redis_connection: {str(name)!r:.80} is not supported: redis-py has no such option of a "
                f"connection; {remedy}"
            )


def tls_of(options: Mapping[str, Any]) -> ssl.SSLContext | None:
    """Return the TLS context for the options, or None. Raises ``OSError`` and ``ValueError`` for wrong ones."""
    wanted = options.get("ssl")
    if wanted is None:
        wanted = any(key.startswith("ssl_") for key in options)
    if not _is_true(wanted):
        return None
    _refuse_weak_checks(options)
    context = ssl.create_default_context(
        cafile=options.get("ssl_ca_certs"),
        capath=options.get("ssl_ca_path"),
        cadata=options.get("ssl_ca_data"),
    )
    context.minimum_version = ssl.TLSVersion(int(options.get("ssl_min_version") or ssl.TLSVersion.TLSv1_2))
    if options.get("ssl_certfile"):
        context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"), options.get("ssl_password"))
    elif options.get("ssl_keyfile"):
        raise ValueError("ssl_keyfile needs the ssl_certfile that belongs to it")
    if options.get("ssl_ciphers"):
        try:
            context.set_ciphers(options["ssl_ciphers"])
        except ssl.SSLError:
            raise ValueError("ssl_ciphers names no cipher that OpenSSL knows") from None
    for flag in options.get("ssl_include_verify_flags") or ():
        context.verify_flags |= flag
    for flag in options.get("ssl_exclude_verify_flags") or ():
        context.verify_flags &= ~flag
    if "ssl_check_hostname" in options and not _is_true(options["ssl_check_hostname"]):
        context.check_hostname = False
    return context


def _refuse_weak_checks(options: Mapping[str, Any]) -> None:
    level = options.get("ssl_cert_reqs", "required")
    if level != ssl.CERT_REQUIRED and str(level).lower() not in ("required", "2"):
        raise ConfigurationError(
            "redis_connection: ssl_cert_reqs other than 'required' lets anyone answer for Redis; give "
            "ssl_ca_certs with the CA that signed its certificate instead"
        )
    lowest = options.get("ssl_min_version")
    if lowest is not None and int(lowest) < ssl.TLSVersion.TLSv1_2:
        raise ConfigurationError(
            "redis_connection: ssl_min_version below TLS 1.2 is not supported: older versions are not safe"
        )


def _is_off(name: str, value: Any) -> bool:
    if name == "maint_notifications_config":
        return getattr(value, "enabled", value) in (None, False, "auto")
    return value is None or value is False


def _is_true(value: Any) -> bool:
    return str(value).lower() not in _FALSE if isinstance(value, str) else bool(value)
