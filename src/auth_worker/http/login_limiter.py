"""Counts wrong tokens by address and by token, so that guessing them is slow and fills no log.

A valid token is always accepted: only wrong ones are limited.
"""

from __future__ import annotations

import ipaddress
import math
import time

LIMIT = 10
"""How many wrong tokens an address may send within the window, and how often the same one may be sent.

Further ones are answered with 429 and not logged.
"""
WINDOW_S = 60.0
MOST_SOURCES = 1000
"""How many addresses and tokens are remembered. A new one replaces the oldest."""
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""RFC 6052: IPv6 addresses that hold an IPv4 address in their last 32 bits."""


class LoginLimiter:
    """Limits wrong tokens by source: an address from ``source_of``, or a token's digest. Belongs to one loop."""

    def __init__(self) -> None:
        self._found: dict[str | bytes, tuple[float, int]] = {}

    def wait_s(self, source: str | bytes) -> int:
        """Return how long (s) ``source`` must wait before the next try; 0 for not at all."""
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
    """Return what counts as one client: an IPv4 address, also in IPv6 form, or an IPv6 /64 network."""
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
