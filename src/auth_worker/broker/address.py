"""Where Redis is, and how to get in: parsed once, by redis-py's own rules, from whatever the user gives."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from redis.asyncio import Redis
from redis.asyncio.connection import SSLConnection, parse_url
from redis.asyncio.sentinel import SentinelConnectionPool

from auth_worker.broker.dialing import Credentials
from auth_worker.broker.discovery import node_of, primary_of, shared_tag
from auth_worker.errors import BrokerUnavailableError, ConfigurationError

URL_FORMS = (
    "redis://, rediss://, unix://, redis+sentinel://host:26379,host:26379/service-name or "
    "redis+cluster://host:6379,host:6379"
)
_HOST_LISTS = {
    "sentinel": "redis+sentinel://[user:password@]host:port,host:port/service[/db]",
    "cluster": "redis+cluster://[user:password@]host:port,host:port",
}


@dataclass(frozen=True)
class Address:
    """One Redis, as a connection needs to know it. Its ``repr`` and ``str`` show no secret."""

    host: str = "localhost"
    port: int = 6379
    path: str | None = None
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    sentinels: tuple[tuple[str, int], ...] = ()
    sentinel_service: str = ""
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)
    cluster: tuple[tuple[str, int], ...] = ()
    tag: str = ""
    """The hash tag, of all tags in a cluster, that the connection is for."""

    def __str__(self) -> str:
        if self.path:
            return f"unix://{self.path}?db={self.db}"
        if self.sentinels:
            hosts = ",".join(f"{host}:{port}" for host, port in self.sentinels)
            return f"redis+sentinel://{hosts}/{self.sentinel_service}/{self.db}"
        if self.cluster:
            return f"redis+cluster://{','.join(f'{host}:{port}' for host, port in self.cluster)}"
        return f"{'rediss' if self.tls else 'redis'}://{self.host}:{self.port}/{self.db}"

    @classmethod
    def of(cls, connection: Any) -> Address:
        """Read a URL, a mapping of redis-py's connection arguments, or a redis-py asyncio client.

        Raises ``ConfigurationError`` naming what is wrong with it.
        """
        if isinstance(connection, Address):
            return connection
        if isinstance(connection, str):
            return _from_url(connection.strip())  # mounted secrets end in a line end
        if isinstance(connection, Mapping):
            return _from_options(connection)
        if isinstance(connection, Redis):
            return _from_client(connection)
        raise ConfigurationError(
            f"redis_connection must be a URL ({URL_FORMS}), a mapping or a redis.asyncio.Redis, "
            f"not {type(connection).__name__}"
        )

    def serving(self, prefix: str, *queues: str) -> Address:
        """The same, for ``queues`` (none: all) of ``prefix``.

        Raises ``ConfigurationError`` where a cluster needs other names.
        """
        return replace(self, tag=shared_tag(prefix, queues)) if self.cluster else self

    async def resolve(self) -> tuple[str, int]:
        """The host and port to dial now: asks the sentinels for the primary, or the cluster for the prefix's node.

        Raises ``BrokerUnavailableError`` when none of them knows.
        """
        if self.cluster:
            try:
                return await node_of(self.tag, self.cluster, Credentials(self.username, self.password, self.tls))
            except BrokerUnavailableError as error:
                raise BrokerUnavailableError(f"no node of {self} knows who has {{{self.tag}}}: {error}") from error
        if self.sentinels:
            credentials = Credentials(self.sentinel_username, self.sentinel_password, self.tls)
            try:
                return await primary_of(self.sentinel_service, self.sentinels, credentials)
            except BrokerUnavailableError as error:
                raise BrokerUnavailableError(
                    f"no sentinel of {self} knows the primary of {self.sentinel_service!r}: {error}"
                ) from error
        return self.host, self.port


def _from_url(url: str) -> Address:
    scheme, separator, _ = url.partition("://")
    if not separator or not scheme.replace("+", "").isalnum():
        raise ConfigurationError(f"redis_connection: that is not a URL; use {URL_FORMS}")
    if scheme.partition("+")[2] in _HOST_LISTS:
        return _from_host_list(url)
    if scheme not in ("redis", "rediss", "unix"):
        raise ConfigurationError(f"redis_connection: {scheme}:// is not a Redis URL; use {URL_FORMS}")
    try:
        options = parse_url(url)
    except ValueError:  # its text may quote a part of the password
        raise ConfigurationError(
            f"redis_connection: the {scheme}:// URL cannot be read: a port or database is no number, or a special "
            "character of the password is not percent-encoded"
        ) from None
    return _from_options({**options, "ssl": scheme == "rediss"})


def _from_client(client: Redis) -> Address:
    pool = client.connection_pool
    if isinstance(pool, SentinelConnectionPool):
        raise ConfigurationError(
            "redis_connection: a client made by Sentinel.master_for cannot be taken over; give the URL "
            "redis+sentinel://host:26379,host:26379/service-name"
        )
    options = pool.connection_kwargs
    return _from_options({**options, "ssl": issubclass(pool.connection_class, SSLConnection)})


def _from_host_list(url: str) -> Address:
    """A URL that names sentinels, or nodes of a cluster."""
    scheme = url.partition("://")[0]
    try:
        parts = urlsplit(url)
        credentials, _, hosts = parts.netloc.rpartition("@")
        places = tuple(_place(host) for host in hosts.split(","))
        service, _, db = parts.path.strip("/").partition("/")
        number = int(db or 0)
    except ValueError:
        raise ConfigurationError(
            f"redis_connection: a URL of that kind reads {_HOST_LISTS[scheme.partition('+')[2]]}"
        ) from None
    options = dict(parse_qsl(parts.query))
    if unknown := [name for name in options if not name.startswith(("ssl_", "sentinel_"))]:
        raise ConfigurationError(
            f"redis_connection: {unknown[0]!r} is no option of a {scheme}:// URL; there are ssl_ca_certs, "
            "ssl_certfile, ssl_keyfile, sentinel_username and sentinel_password"
        )
    username, _, password = credentials.partition(":")
    address = Address(
        username=unquote(username) or None,
        password=unquote(password) or None,
        tls=_tls_of({**options, "ssl": scheme.startswith("rediss")}),
    )
    if scheme.endswith("cluster"):
        return replace(address, cluster=places)
    if not service:
        raise ConfigurationError(
            "redis_connection: a sentinel URL ends with the service name: redis+sentinel://host:26379/mymaster"
        )
    return replace(
        address,
        db=number,
        sentinels=places,
        sentinel_service=service,
        sentinel_username=options.get("sentinel_username"),
        sentinel_password=options.get("sentinel_password"),
    )


def _place(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host:
        raise ValueError(text)
    return host.strip("[]"), int(port)


def _from_options(options: Mapping[str, Any]) -> Address:
    known = {"host", "port", "path", "unix_socket_path", "db", "username", "password", "ssl"}
    try:
        address = Address(
            host=str(options.get("host") or "localhost"),
            port=int(options.get("port") or 6379),
            path=options.get("path") or options.get("unix_socket_path"),
            db=int(options.get("db") or 0),
            username=options.get("username"),
            password=options.get("password"),
            tls=_tls_of(options),
        )
    except (TypeError, ValueError, OSError) as error:
        raise ConfigurationError(f"redis_connection: {error}") from error
    if not known & set(options):
        raise ConfigurationError(
            f"redis_connection: the mapping has none of {', '.join(sorted(known))}; "
            "give redis-py's connection arguments"
        )
    return address


def _tls_of(options: Mapping[str, Any]) -> ssl.SSLContext | None:
    wanted = options.get("ssl") or any(key.startswith("ssl_") for key in options)
    if not wanted:
        return None
    context = ssl.create_default_context(
        cafile=options.get("ssl_ca_certs"),
        capath=options.get("ssl_ca_path"),
        cadata=options.get("ssl_ca_data"),
    )
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if options.get("ssl_certfile"):
        context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"), options.get("ssl_password"))
    if options.get("ssl_check_hostname") in (False, "False", "false", "no", "0"):
        context.check_hostname = False
    if str(options.get("ssl_cert_reqs", "required")).lower() in ("none", "optional"):
        raise ConfigurationError(
            "redis_connection: ssl_cert_reqs other than 'required' lets anyone answer for Redis; give "
            "ssl_ca_certs with the CA that signed its certificate instead"
        )
    return context
