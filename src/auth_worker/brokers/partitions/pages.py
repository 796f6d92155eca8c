"""Lists of partitions as one list: one behind the other, by number."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

Part = TypeVar("Part")
Entry = TypeVar("Entry")


async def read_page(
    parts: Sequence[Part],
    read: Callable[[Part, int, int], Awaitable[list[Entry]]],
    count: Callable[[Part], Awaitable[int]],
    offset: int,
    limit: int,
) -> list[Entry]:
    """Return ``limit`` entries from ``offset`` on. ``read`` reads those of one part, ``count`` counts them."""
    found: list[Entry] = []
    for part in parts:
        entries = await read(part, offset, limit - len(found))
        found += entries
        if len(found) >= limit:
            break
        offset = 0 if entries or not offset else max(offset - await count(part), 0)
    return found
