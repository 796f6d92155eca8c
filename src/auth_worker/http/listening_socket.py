"""Opens the listening socket of the HTTP port: one passed to this process, or one on the address of the settings.

Sockets are passed by the convention of systemd (``sd_listen_fds(3)``): descriptor 3, announced by LISTEN_FDS and
LISTEN_PID. Units of systemd do so, and the parent of several service processes.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from typing import Any

from auth_worker.config import Settings
from auth_worker.errors import ConfigurationError
from auth_worker.messages import WORKER_ERRORS
from auth_worker.system.happy_eyeballs import host_and_port

GIVEN_DESCRIPTOR = 3
NEIGHBOURS = 10
"""How many workers with the default port a machine has room for: each takes the next free port."""


def url_of(host: str, port: int) -> str:
    """Return the URL of an HTTP port: ``http://127.0.0.1:9464``, ``http://[::1]:9464``."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def listen(settings: Settings, log: Any) -> tuple[socket.socket, Settings] | None:
    """Return a listening socket, and the settings with its host; None if the settings ask for no port.

    A port that the settings name must be free. If another worker has the default port, the next free one of ten is
    used; if none is free, that is a warning, and the result None. Raises ``ConfigurationError`` naming the
    setting, also for an address that others can reach while no token is set.
    """
    given = take_given_socket()
    if given is not None:
        if given.family in (socket.AF_INET, socket.AF_INET6):
            settings = settings.model_copy(update={"http_host": given.getsockname()[0]})
            _check_reach(settings)
        return given, settings
    if settings.http_port is None:
        return None
    _check_reach(settings)
    listener = _bind_first_free(settings)
    if listener is None:
        log.warning(WORKER_ERRORS.HTTP_PORT_TAKEN, host=settings.http_host, port=settings.http_port)
        return None
    return listener, settings


def take_given_socket() -> socket.socket | None:
    """Return the socket that was passed to this process; None without one. Child programs do not inherit it.

    Raises ``ConfigurationError`` for several sockets, or for one that is no stream socket.
    """
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return None
    count = os.environ.get("LISTEN_FDS", "")
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(name, None)
    if count != "1":
        raise ConfigurationError("LISTEN_FDS: the HTTP port takes exactly one socket")
    os.set_inheritable(GIVEN_DESCRIPTOR, False)
    try:
        given = socket.socket(fileno=GIVEN_DESCRIPTOR)
    except OSError as error:
        raise ConfigurationError("LISTEN_FDS: descriptor 3 is not a socket") from error
    if given.type != socket.SOCK_STREAM:
        given.close()
        raise ConfigurationError("LISTEN_FDS: the HTTP port takes a stream socket (ListenStream=)")
    return given


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``, a name or an address without brackets."""
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _check_reach(settings: Settings) -> None:
    if not is_loopback(settings.http_host) and not settings.access_tokens:
        raise ConfigurationError(
            f"http_host {settings.http_host!r} can be reached from other machines: set http_token "
            "(AUTH_WORKER_HTTP_TOKEN), or bind to 127.0.0.1"
        )


def _bind_first_free(settings: Settings) -> socket.socket | None:
    """Return a listening socket; None if only the default port was wanted and all its neighbours are taken."""
    first = settings.http_port or 0
    chosen = "http_port" in settings.model_fields_set
    for port in range(first, first + (1 if chosen else NEIGHBOURS)):
        try:
            return _bind(settings.http_host, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise ConfigurationError(
                    f"http_host, http_port: cannot listen on {host_and_port(settings.http_host, port)} "
                    f"({error.strerror or error}); choose others (AUTH_WORKER_HTTP_HOST, AUTH_WORKER_HTTP_PORT)"
                ) from error
            if chosen:
                raise ConfigurationError(
                    f"http_port: {host_and_port(settings.http_host, port)} is taken, perhaps by another worker: "
                    "choose another port (AUTH_WORKER_HTTP_PORT), or 0 for any free one"
                ) from error
    return None


def _bind(host: str, port: int) -> socket.socket:
    """Bind a socket. Raises ``OSError``."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, *_, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    dual = family == socket.AF_INET6 and address[0] == "::" and socket.has_dualstack_ipv6()
    return socket.create_server(address, family=family, dualstack_ipv6=dual)
