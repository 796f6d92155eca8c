"""Which running service a command asks. A port is identified before a token is sent to it."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from functools import partial
from typing import Any, NamedTuple, NoReturn
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from auth_worker.admin.identity import Identity, read_identity
from auth_worker.admin.server import NEIGHBOURS
from auth_worker.cli import operator
from auth_worker.cli.console import USAGE, fail, text
from auth_worker.cli.tables import notes
from auth_worker.config import Settings
from auth_worker.redaction import redact

ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}  # noqa: S104 - asked, not bound
MOST_BYTES = 64 * 1024 * 1024


class Service(NamedTuple):
    """A service that has identified itself at an address."""

    base: str
    identity: Identity

    def __str__(self) -> str:
        base = redact(self.base)
        return f"{base} ({self.identity})" if str(self.identity) else base


class _NoRedirect(HTTPRedirectHandler):
    """A redirection is an answer: what it leads to has not been identified."""

    def redirect_request(self, *_: Any) -> None:
        """Part of urllib."""


def ask(
    base: str, path: str, patience: float, token: str | None = None, most: int = MOST_BYTES
) -> tuple[int, Mapping[str, str], bytes]:
    """The status, headers and body (``most`` bytes of it) of an answer.

    Raises ``OSError``, ``ValueError`` or ``HTTPException`` where there is none that HTTP knows.
    """
    request = Request(base.rstrip("/") + path)  # noqa: S310 - http or https, see base_of
    if token is not None:
        request.add_header("Authorization", f"Bearer {token}".encode().decode("latin-1"))
    try:
        with build_opener(ProxyHandler({}), _NoRedirect).open(request, timeout=patience) as reply:
            return int(reply.status), _named(reply.headers), reply.read(most)
    except HTTPError as error:
        with error:
            return error.code, _named(error.headers), error.read(most)


def _named(headers: Message) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def find_service(settings: Settings, url: str | None, patience: float) -> Service:
    """The service at ``url``, or else the one of ``settings`` on this machine; exits where there is none.

    Where no port is set, the ports that a worker may have taken are tried. Of several services the one of the name
    or the state directory of the settings is taken, or else the first.
    """
    bases = [checked_url(url)] if url is not None else _bases_of(settings)
    with ThreadPoolExecutor(len(bases)) as threads:
        found = dict(zip(bases, threads.map(partial(_identify, patience=patience), bases), strict=True))
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
    """``url`` itself; exits where it is no address of a service."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        fail("--url cannot be read: write it as http://host:port, with a port from 1 to 65535", USAGE)
    if parts.scheme not in ("http", "https") or not url.lower().startswith(("http://", "https://")):
        fail(f"--url {redact(url)} must begin with http:// or https://", USAGE)
    if not parts.hostname or port == 0 or any(char.isspace() or not char.isprintable() for char in url):
        fail("--url needs a host, such as http://127.0.0.1:9464", USAGE)
    if "@" in parts.netloc or parts.query or parts.fragment:
        fail(
            "--url is an address alone, without a user, ? or #; the token is read from AUTH_WORKER_HTTP_TOKEN",
            USAGE,
        )
    return url.rstrip("/")


def _identify(base: str, patience: float) -> Identity | str | None:
    """Who answers there: None where it is not auth-worker, a text where nobody does."""
    try:
        _, headers, _ = ask(base, "/livez", patience, most=0)
    except http.client.HTTPException:
        return None
    except (URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        return None if isinstance(reason, http.client.HTTPException) else redact(str(reason))
    return read_identity(headers)


def _bases_of(settings: Settings) -> list[str]:
    first = settings.http_port
    if first is None:
        fail("http_port is switched off in the settings: give --url", USAGE)
    if first == 0:
        fail("http_port 0 is any free port: give --url with the one that the service has logged", USAGE)
    host = ANYWHERE.get(settings.http_host, settings.http_host)
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
        operator.UNHEALTHY,
    )
