"""Sessions of the dashboard: a user exchanges a token once for a signed cookie.

The cookie holds the token's name and when the session ends; signing it needs the token. So every process with that
token accepts it, none keeps a list, and changing a token ends its sessions. It has no path: a browser sends it to
the folder of the page that set it, wherever the dashboard is mounted.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from auth_worker.http.access_tokens import LOCAL, AccessTokens, Caller

LIFETIME_S = 12 * 3600
LONGEST_COOKIE = 400
FORM_FIELD = "form_token"
"""The field of every form that changes something. Another site cannot know its value."""
Authorize = Callable[[Scope], Caller | None]


class Session(NamedTuple):
    """The caller of a session and its ``cookie``. ``is_new``: the browser does not have the cookie yet."""

    caller: Caller
    cookie: str
    is_new: bool = False

    @property
    def form_token(self) -> str:
        """What a form must contain to change something in this session."""
        return hmac.digest(self.cookie.encode(), b"form", "sha256").hex()

    def accepts(self, sent: str) -> bool:
        """Whether a form with this token comes from a page of this session."""
        return hmac.compare_digest(self.form_token.encode(), sent.encode())


class Sessions:
    """Finds the session of a request, by ``authorize``, which returns the caller, or else by ``tokens``.

    Without either, every caller is the local admin.
    """

    def __init__(self, tokens: AccessTokens, authorize: Authorize | None) -> None:
        self._tokens = tokens
        self._authorize = authorize

    @property
    def need_token(self) -> bool:
        """Whether callers must log in."""
        return self._authorize is None and self._tokens.exist

    def find(self, request: Request) -> Session | None:
        """Return the session of the request; None if there is none, or if it has ended."""
        sent = [each for each in _cookies(request) if len(each) <= LONGEST_COOKIE and each.isascii()]
        if self.need_token:
            found = ((self._signed_by(each), each) for each in sent)
            return next((Session(caller, each) for caller, each in found if caller is not None), None)
        cookie = next(iter(sent), "")
        caller = LOCAL if self._authorize is None else self._authorize(request.scope)
        if caller is None:
            return None
        return Session(caller, cookie or secrets.token_urlsafe(24), is_new=not cookie)

    def open(self, token: str) -> Session | None:
        """Open a session for the owner of ``token``; None if it is nobody's, or may not read."""
        caller = self._tokens.caller_of(token.strip().encode())
        if caller is None or not caller.may_look:
            return None
        signed = f"{caller.name}~{round(time.time()) + LIFETIME_S}~{secrets.token_urlsafe(16)}"
        return Session(caller, f"{signed}~{self._signature(caller.name, signed)}", is_new=True)

    def wait_after_wrong(self, token: str, request: Request) -> int:
        """Count a wrong token. Returns how long (s) its sender must wait, 0 if it was counted."""
        return self._tokens.count_wrong(token.encode(), request.client.host if request.client else "")

    def _signed_by(self, cookie: str) -> Caller | None:
        signed, _, signature = cookie.rpartition("~")
        name, _, rest = signed.partition("~")
        ends = rest.partition("~")[0]
        if not ends.isdecimal() or int(ends) < time.time():
            return None
        expected = self._signature(name, signed)
        if expected is None or not hmac.compare_digest(signature, expected):
            return None
        known = self._tokens.signing_key(name)
        return known[0] if known is not None and known[0].may_look else None

    def _signature(self, name: str, signed: str) -> str | None:
        known = self._tokens.signing_key(name)
        return None if known is None else hmac.digest(known[1], signed.encode(), "sha256").hex()


def set_cookie(response: Response, request: Request, session: Session | None) -> None:
    """Make the browser keep the session, or forget it if ``session`` is None."""
    response.set_cookie(
        _cookie_name(request),
        "" if session is None else session.cookie,
        max_age=0 if session is None else LIFETIME_S,
        path=None,
        secure=_over_tls(request),
        httponly=True,
        samesite="strict",
    )


def _cookies(request: Request) -> list[str]:
    """Return our cookies: of a dashboard in the folder of another one, its own, then the other one's."""
    parts = [part.strip() for header in request.headers.getlist("cookie") for part in header.split(";")]
    start = f"{_cookie_name(request)}="
    return [part.removeprefix(start) for part in parts if part.startswith(start)]


def _cookie_name(request: Request) -> str:
    """Return the name of the cookie, which has the port, since cookies of one host are shared by all its ports."""
    port = request.url.port
    return f"auth_worker_{port}" if port else "auth_worker"


def _over_tls(request: Request) -> bool:
    """Whether the browser uses TLS, to us or to a proxy in front of us. A client that lies only hurts itself."""
    forwarded = request.headers.get("x-forwarded-proto", "").split(",")[0].strip()
    return (forwarded or request.url.scheme) == "https"
