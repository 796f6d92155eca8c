"""Parses what the user gives as the connection into the address of Redis, by redis-py's own rules."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from redis.asyncio import Redis
from redis.asyncio.connection import parse_url

from auth_worker.brokers.redis.wire.client_options import check_options, options_of, tls_of
from auth_worker.brokers.redis.wire.credentials import CredentialSource, Login
from auth_worker.brokers.redis.wire.dialing import Access
from auth_worker.brokers.redis.wire.discovery import node_of, primaries_of, primary_of, shared_tag
from auth_worker.errors import BrokerUnavailableError, ConfigurationError
from auth_worker.system.happy_eyeballs import SocketOption, host_and_port

URL_FORMS = (
    "redis://, rediss://, unix://, redis+sentinel://host:26379,host:26379/service-name or "
    "redis+cluster://host:6379,host:6379"
)
_HOST_LISTS = {
    "sentinel": "redis+sentinel://[user:password@]host:port,host:port/service[/db]",
    "cluster": "redis+cluster://[user:password@]host:port,host:port",
}
_HOST_LIST_OPTIONS = (
    *("ssl_ca_certs", "ssl_ca_path", "ssl_ca_data", "ssl_certfile", "ssl_keyfile", "ssl_password"),
    *("ssl_cert_reqs", "ssl_check_hostname", "ssl_min_version", "ssl_ciphers"),
    *("sentinel_username", "sentinel_password"),
)


@dataclass(frozen=True)
class Address:
    """The address of a Redis and how to log in to it. Its ``repr`` and ``str`` show no secret."""

    host: str = "localhost"
    port: int = 6379
    path: str | None = None
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False, compare=False)
    tls_options: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """The options that ``tls`` is made of, by which addresses are compared."""
    sentinels: tuple[tuple[str, int], ...] = ()
    sentinel_service: str = ""
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)
    cluster: tuple[tuple[str, int], ...] = ()
    credentials: CredentialSource | None = field(default=None, repr=False, compare=False)
    """Provides user and password instead of ``username`` and ``password``."""
    socket_options: tuple[SocketOption, ...] = ()
    tag: str = ""
    """The hash tag whose node in a cluster the connection is for."""

    def __str__(self) -> str:
        if self.path:
            return f"unix://{self.path}?db={self.db}"
        if self.sentinels:
            return f"redis+sentinel://{_hosts(self.sentinels)}/{self.sentinel_service}/{self.db}"
        if self.cluster:
            return f"redis+cluster://{_hosts(self.cluster)}"
        return f"{'rediss' if self.tls else 'redis'}://{host_and_port(self.host, self.port)}/{self.db}"

    @property
    def identity(self) -> Hashable:
        """What two addresses have in common if a connection to one serves for the other."""
        return self, None if self.credentials is None else self.credentials.identity

    @classmethod
    def of(cls, connection: Any) -> Address:
        """Parse a URL, a mapping of redis-py's connection options, or a redis-py asyncio client.

        Raises ``ConfigurationError`` naming what is wrong with it.
        """
        if isinstance(connection, Address):
            return connection
        if isinstance(connection, str):
            return _from_url(connection.strip())  # mounted secrets end with a line end
        if isinstance(connection, Mapping):
            return _from_options(connection)
        if isinstance(connection, Redis):
            return _from_options(options_of(connection))
        kind = f"{type(connection).__module__}.{type(connection).__qualname__}".removeprefix("builtins.")
        raise ConfigurationError(
            f"redis_connection must be a URL ({URL_FORMS}), a mapping or a redis.asyncio.Redis, not {kind}"
        )

    def serving(self, prefix: str, *queues: str) -> Address:
        """Return the address for ``queues`` (none: all) of ``prefix``.

        Raises ``ConfigurationError`` if a cluster needs other names.
        """
        return replace(self, tag=shared_tag(prefix, queues)) if self.cluster else self

    async def login(self) -> Login:
        """Return the current credentials. Raises ``BrokerUnavailableError`` if the credential_provider fails."""
        if self.credentials is not None:
            return await self.credentials.get()
        return _login(self.username, self.password)

    async def primaries(self) -> list[Address]:
        """Return the address of each primary of a cluster, or this one. Raises ``BrokerUnavailableError``."""
        if not self.cluster:
            return [self]
        places = await primaries_of(self.cluster, Access(await self.login(), self.tls))
        return [replace(self, host=host, port=port, cluster=(), tag="") for host, port in places]

    async def resolve(self, login: Login | None = None) -> tuple[str, int]:
        """Return the host and port to dial now: the sentinels' primary, or the cluster node of the prefix.

        ``login`` is for the nodes of a cluster; None means ``login()``. Raises ``BrokerUnavailableError`` if none
        of them knows.
        """
        if self.cluster:
            try:
                return await node_of(self.tag, self.cluster, Access(login or await self.login(), self.tls))
            except BrokerUnavailableError as error:
                raise BrokerUnavailableError(
                    f"no node of {self} knows which primary has the slot of {{{self.tag}}}: {error}"
                ) from error
        if self.sentinels:
            access = Access(_login(self.sentinel_username, self.sentinel_password), self.tls)
            try:
                return await primary_of(self.sentinel_service, self.sentinels, access)
            except BrokerUnavailableError as error:
                raise BrokerUnavailableError(
                    f"no sentinel of {self} knows the primary of {self.sentinel_service!r}: {error}"
                ) from error
        return self.host, self.port


def _hosts(places: tuple[tuple[str, int], ...]) -> str:
    return ",".join(host_and_port(*place) for place in places)


def _login(username: str | None, password: str | None) -> Login:
    if password is None:
        return ()
    return (username, password) if username else (password,)


def _from_url(url: str) -> Address:
    scheme, separator, _ = url.partition("://")
    if not separator or not scheme.replace("+", "").isalnum():
        raise ConfigurationError(f"redis_connection: not a URL; use {URL_FORMS}")
    if scheme.partition("+")[2] in _HOST_LISTS:
        return _from_host_list(url)
    if scheme not in ("redis", "rediss", "unix"):
        raise ConfigurationError(f"redis_connection: {scheme}:// is not a Redis URL; use {URL_FORMS}")
    try:
        options: dict[str, Any] = {**parse_url(url)}
        if scheme != "unix" and "db" not in options and urlsplit(url).path.strip("/"):
            raise ValueError("a database that is no number, which redis-py takes for 0")
    except ValueError:  # its message may quote a part of the password
        raise ConfigurationError(
            f"redis_connection: the {scheme}:// URL cannot be read: a port or database is no number, or a special "
            "character of the password is not percent-encoded"
        ) from None
    if not isinstance(kind := options.pop("connection_class", None), type | None):
        options["connection_class"] = kind  # from the URL's query
    return _from_options({**options, "ssl": scheme == "rediss" or None})


def _from_host_list(url: str) -> Address:
    """Parse a URL that names sentinels, or nodes of a cluster."""
    scheme = url.partition("://")[0]
    try:
        parts = urlsplit(url)
        credentials, _, hosts = parts.netloc.rpartition("@")
        places = tuple(_place(host) for host in hosts.split(","))
        service, _, db = parts.path.strip("/").partition("/")
        number = int(db or 0)
    except ValueError:
        raise ConfigurationError(
            f"redis_connection: such a URL has the form {_HOST_LISTS[scheme.partition('+')[2]]}"
        ) from None
    options = dict(parse_qsl(parts.query))
    if unknown := [name for name in options if name not in _HOST_LIST_OPTIONS]:
        raise ConfigurationError(
            f"redis_connection: {unknown[0]!r} is not an option of a {scheme}:// URL; its options are "
            f"{', '.join(_HOST_LIST_OPTIONS)}"
        )
    username, _, password = credentials.partition(":")
    address = Address(
        username=unquote(username) or None,
        password=unquote(password) or None,
        **_tls_of({**options, "ssl": scheme.startswith("rediss")}),
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
    if not options:
        raise ConfigurationError(
            "redis_connection: the mapping is empty; give redis-py's connection options, such as host and port"
        )
    check_options(options)
    if (options.get("path") or options.get("unix_socket_path")) and not hasattr(socket, "AF_UNIX"):
        raise ConfigurationError("redis_connection: this system (Windows) has no unix sockets: give host and port")
    provider = options.get("credential_provider")
    if provider is not None and (options.get("username") or options.get("password")):
        raise ConfigurationError(
            "redis_connection: credential_provider cannot be combined with username and password, which it gives"
        )
    try:
        return Address(
            host=str(options.get("host") or "localhost"),
            port=_port(options.get("port") or 6379),
            path=options.get("path") or options.get("unix_socket_path"),
            db=int(options.get("db") or 0),
            username=_text(options.get("username")),
            password=_text(options.get("password")),
            **_tls_of(options),
            credentials=None if provider is None else CredentialSource(provider),
            socket_options=_keepalive(options.get("socket_keepalive_options")),
        )
    except (TypeError, ValueError, OSError) as error:
        raise ConfigurationError(f"redis_connection: {error}") from error


def _tls_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an address that are about TLS. Raises as ``tls_of``."""
    context = tls_of(options)
    if context is None:
        return {}
    given = ((name, str(value)) for name, value in options.items() if name.startswith("ssl_"))
    return {"tls": context, "tls_options": (("ssl", "True"), *sorted(given))}


def _port(value: Any) -> int:
    port = int(value)
    if not 0 < port < 65536:
        raise ValueError(f"port must be from 1 to 65535, not {port}")
    return port


def _text(value: Any) -> str | None:
    """Convert to text. redis-py accepts numbers and UTF-8 bytes too."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:  # its message quotes a byte of the password
            raise ConfigurationError("redis_connection: username and password must be UTF-8") from None
    return None if value is None else str(value)


def _keepalive(options: Any) -> tuple[SocketOption, ...]:
    if not isinstance(options, Mapping):  # redis-py's marker for "not given"
        return ()
    return tuple((socket.IPPROTO_TCP, int(name), int(value)) for name, value in options.items())
