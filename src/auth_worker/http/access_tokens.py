"""Identifies callers by the tokens of the settings, compared in constant time, and limits guesses."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import NamedTuple

from auth_worker.config import Settings
from auth_worker.http.login_limiter import LoginLimiter, source_of

LONGEST_TOKEN = 4096
"""In bytes. A longer token is wrong and is not compared."""


class Caller(NamedTuple):
    """The sender of a request: the name of its token, and whether it may change things or read the API."""

    name: str
    may_change: bool
    may_look: bool = True


LOCAL = Caller("local", True)
"""The caller if no tokens are set, which is permitted on loopback only."""


class AccessTokens:
    """The tokens of ``settings``. Belongs to one event loop.

    ``on_wrong`` is called with the address that sent a wrong token, unless it has sent too many lately.
    """

    def __init__(self, settings: Settings, on_wrong: Callable[[str], None] = lambda where: None) -> None:
        self._entries = [
            (
                _digest(entry.token.get_secret_value().encode()),
                Caller(name, entry.role == "admin", entry.role != "metrics"),
            )
            for name, entry in settings.access_tokens.items()
        ]
        self._on_wrong = on_wrong
        self._failed = LoginLimiter()

    @property
    def exist(self) -> bool:
        """Whether there are any. Without one, everybody who can reach the port may do everything."""
        return bool(self._entries)

    def caller_of(self, token: bytes) -> Caller | None:
        """Return the caller with this token, or None."""
        digest = _digest(token)
        caller: Caller | None = None
        for known, its_caller in self._entries:  # all of them, so that the time it takes says nothing
            if hmac.compare_digest(digest, known):
                caller = its_caller
        return caller

    def count_wrong(self, token: bytes, address: str) -> int:
        """Count a wrong token from ``address``. Returns how long (s) to wait, 0 if it was counted."""
        sources: tuple[str | bytes, ...] = (source_of(address), _digest(token))
        if wait := max(map(self._failed.wait_s, sources)):
            return wait
        for source in sources:
            self._failed.add(source)
        self._on_wrong(address or "a local socket")
        return 0

    def signing_key(self, name: str) -> tuple[Caller, bytes] | None:
        """Return the caller of that name and a key that only a holder of its token can have; None without one.

        The key changes with the token, and is the same in every process with that token.
        """
        for digest, caller in self._entries:
            if caller.name == name:
                return caller, hmac.digest(digest, b"auth-worker session", "sha256")
        return None


def _digest(token: bytes) -> bytes:
    """Hash a token. Digests are compared, so that the time it takes does not even depend on the length."""
    return hashlib.sha256(token[: LONGEST_TOKEN + 1]).digest()
