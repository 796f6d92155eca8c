"""Failures to log in, counted by where they come from, so that nobody can try tokens as fast as they like."""

from __future__ import annotations

import ipaddress
import math
import time

LIMIT = 10
"""So many wrong tokens an address may send within the window; then it is not listened to until that is over."""
WINDOW_S = 60.0
MOST_SOURCES = 1000
"""How many addresses are remembered: the one known longest is forgotten for a new one."""


class FailedLogins:
    """Belongs to one event loop. An IPv6 host counts with its /64, all of whose addresses are its own."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[float, int]] = {}

    def wait_s(self, address: str) -> int:
        """After how many s ``address`` may try again; 0: now."""
        began, count = self._found.get(source := _source(address), (0.0, 0))
        left = began + WINDOW_S - time.monotonic()
        if left <= 0:
            self._found.pop(source, None)
            return 0
        return math.ceil(left) if count >= LIMIT else 0

    def add(self, address: str) -> None:
        """Count a wrong token from ``address``."""
        source = _source(address)
        began, count = self._found.get(source, (time.monotonic(), 0))
        if source not in self._found and len(self._found) >= MOST_SOURCES:
            del self._found[next(iter(self._found))]
        self._found[source] = (began, count + 1)


def _source(address: str) -> str:
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return str(ipaddress.ip_network((found, 64), strict=False)) if found.version == 6 else address
