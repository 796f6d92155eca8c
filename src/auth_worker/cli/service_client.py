"""Finds a running service and asks it over HTTP. It gets the token only after it has identified itself."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.message import Message
from functools import partial
from typing import Annotated, NamedTuple, NoReturn
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

import typer

from auth_worker.cli.console import fail, notes, text
from auth_worker.cli.exit_codes import UNHEALTHY, USAGE
from auth_worker.cli.parsers import duration_ms
from auth_worker.cli.settings_flags import Config, settings_from
from auth_worker.config import Settings
from auth_worker.core.redaction import redact
from auth_worker.http.listening_socket import NEIGHBOURS
from auth_worker.http.service_identity import Identity, read_identity
from auth_worker.system.web_posts import NoRedirect

LOOPBACKS = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}  # noqa: S104 - asked, not bound
"""The address to ask if a service listens on every interface."""
MAX_BYTES = 64 * 1024 * 1024
TIMEOUT_S = 5.0


@dataclass(frozen=True)
class ServiceFlags:
    """The flags that say which service to ask. ``timeout`` is in ms."""

    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="The service (as configured, or on ports 9464 to 9473 here).", show_default=False
        ),
    ] = None
    timeout: Annotated[
        int | None,
        typer.Option(
            "--timeout", metavar="TIME", help="How long to wait (5s).", parser=duration_ms, show_default=False
        ),
    ] = None
    config: Config = None


class Service(NamedTuple):
    """A service that has identified itself at an address."""

    base: str
    identity: Identity

    def __str__(self) -> str:
        base = redact(self.base)
        return f"{base} ({self.identity})" if str(self.identity) else base


class Reply(NamedTuple):
    """The answer of a service."""

    service: Service
    status: int
    body: bytes


def ask_service(flags: ServiceFlags, path: str) -> Reply:
    """Ask the service that ``flags`` and settings name; exits if no service answers."""
    settings = settings_from(vars(flags))
    timeout_s = flags.timeout / 1000 if flags.timeout else TIMEOUT_S
    service = find_service(settings, flags.url, timeout_s)
    token = settings.http_token or settings.http_read_token or settings.http_metrics_token
    try:
        status, headers, body = _get(service.base, path, timeout_s, token.get_secret_value() if token else None)
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        fail(f"{service} has not answered: {redact(str(reason))}", UNHEALTHY)
    if read_identity(headers) is None:
        fail(f"what answers at {redact(service.base)} is not auth-worker", UNHEALTHY)
    if status == 401:
        fail(f"{service} wants a token: set AUTH_WORKER_HTTP_TOKEN to the one of the service")
    return Reply(service, status, body)


def _get(
    base: str, path: str, timeout_s: float, token: str | None = None, max_bytes: int = MAX_BYTES
) -> tuple[int, Mapping[str, str], bytes]:
    """Return the status, headers and body (at most ``max_bytes`` of it) of the answer.

    Raises ``OSError``, ``ValueError`` or ``HTTPException`` if there is no valid one.
    """
    request = Request(base.rstrip("/") + path)  # noqa: S310 - http or https, see checked_url
    if token is not None:
        request.add_header("Authorization", f"Bearer {token}".encode().decode("latin-1"))
    try:
        with build_opener(ProxyHandler({}), NoRedirect).open(request, timeout=timeout_s) as reply:
            return int(reply.status), _named(reply.headers), reply.read(max_bytes)
    except HTTPError as error:
        with error:
            return error.code, _named(error.headers), error.read(max_bytes)


def _named(headers: Message) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def find_service(settings: Settings, url: str | None, timeout_s: float) -> Service:
    """Find the service at ``url`` or, without one, that of ``settings`` on this machine; exits if there is none.

    If no port is set, all ports that a worker may have taken are tried. Of several services, the one with the name
    or the state directory of the settings is taken, otherwise the first.
    """
    bases = [checked_url(url)] if url is not None else _bases_of(settings)
    with ThreadPoolExecutor(len(bases)) as threads:
        found = dict(zip(bases, threads.map(partial(_identify, timeout_s=timeout_s), bases), strict=True))
    services = [Service(base, said) for base, said in found.items() if isinstance(said, Identity)]
    if not services:
        _fail_without(found)
    chosen = next((service for service in services if service.identity.serves(settings)), services[0])
    if len(services) > 1:
        others = "; ".join(str(service) for service in services if service is not chosen)
        notes().print(
            text(f"several services answer here: asked {chosen}; the others: {others}. --url chooses one"),
            soft_wrap=True,
        )
    return chosen


def checked_url(url: str) -> str:
    """Return ``url``; exits if it cannot be the address of a service."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        fail("--url is invalid: write it as http://host:port, with a port from 1 to 65535", USAGE)
    if parts.scheme not in ("http", "https") or not url.lower().startswith(("http://", "https://")):
        fail(f"--url {redact(url)} must begin with http:// or https://", USAGE)
    if not parts.hostname or port == 0 or any(char.isspace() or not char.isprintable() for char in url):
        fail("--url needs a host, such as http://127.0.0.1:9464", USAGE)
    if "@" in parts.netloc or parts.query or parts.fragment:
        fail(
            "--url is only an address, without a user, ? or #; the token is read from AUTH_WORKER_HTTP_TOKEN",
            USAGE,
        )
    return url.rstrip("/")


def _identify(base: str, timeout_s: float) -> Identity | str | None:
    """Return who answers at ``base``: None if it is not auth-worker, the reason as a text if nobody answers."""
    try:
        _, headers, _ = _get(base, "/livez", timeout_s, max_bytes=0)
    except http.client.HTTPException:
        return None
    except (URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        return None if isinstance(reason, http.client.HTTPException) else redact(str(reason))
    return read_identity(headers)


def _bases_of(settings: Settings) -> list[str]:
    first = settings.http_port
    if first is None:
        fail("http_port is off in the settings: give --url", USAGE)
    if first == 0:
        fail("http_port 0 means any free port: give --url with the port that the service has logged", USAGE)
    host = LOOPBACKS.get(settings.http_host, settings.http_host)
    host = f"[{host}]" if ":" in host and not host.startswith("[") else host
    ports = 1 if "http_port" in settings.model_fields_set else NEIGHBOURS
    return [f"http://{host}:{port}" for port in range(first, first + ports)]


def _fail_without(found: dict[str, Identity | str | None]) -> NoReturn:
    strangers = [redact(base) for base, said in found.items() if said is None]
    first, *others = map(redact, found)
    where = f"{first} to {others[-1].rpartition(':')[2]}" if others else first
    answers = f"; what answers at {', '.join(strangers)} is not auth-worker" if strangers else ""
    reason = next((said for said in found.values() if isinstance(said, str)), "")
    because = f": {reason}" if reason and not strangers else ""
    fail(
        f"no service answers at {where}{because}{answers}; is one running there, with an HTTP "
        "port (AUTH_WORKER_HTTP_PORT)? --url names another",
        UNHEALTHY,
    )
