"""Wrong tokens, counted by where they come from and by what they are, so that guessing them fills no log.

A right token is always heard: the limit is for the wrong ones alone.
"""

from __future__ import annotations

import ipaddress
import math
import time

LIMIT = 10
"""So many wrong tokens an address may send within the window, and so often the same one may be sent; what comes
after that is answered 429, and not logged."""
WINDOW_S = 60.0
MOST_SOURCES = 1000
"""How many addresses and tokens are remembered: the one known longest is forgotten for a new one."""
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""RFC 6052: IPv6 addresses that hold an IPv4 address in their last 32 bits."""


class FailedLogins:
    """Belongs to one event loop. A source is an address as ``source_of`` gives it, or the digest of a token."""

    def __init__(self) -> None:
        self._found: dict[str | bytes, tuple[float, int]] = {}

    def wait_s(self, source: str | bytes) -> int:
        """After how many s ``source`` may try again; 0: now."""
        began, count = self._found.get(source, (0.0, 0))
        left = began + WINDOW_S - time.monotonic()
        if left <= 0:
            self._found.pop(source, None)
            return 0
        return math.ceil(left) if count >= LIMIT else 0

    def add(self, source: str | bytes) -> None:
        """Count a wrong token."""
        began, count = self._found.get(source, (time.monotonic(), 0))
        if source not in self._found and len(self._found) >= MOST_SOURCES:
            del self._found[next(iter(self._found))]
        self._found[source] = (began, count + 1)


def source_of(address: str) -> str:
    """What counts as one: an IPv4 address, also written as IPv6; an IPv6 /64, all of which is one host's."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    if found in NAT64:
        return str(ipaddress.IPv4Address(int(found) & 0xFFFFFFFF))
    return str(ipaddress.ip_network((found, 64), strict=False))
