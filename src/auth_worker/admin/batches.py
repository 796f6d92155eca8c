"""Reads many things at once, but not all: commands that arrive together cost the broker less than one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Read = TypeVar("Read")
AT_ONCE = 50
"""How many are read together, so that a thousand of them do not hold up other clients."""


async def read_each(items: Sequence[Item], read: Callable[[Item], Awaitable[Read]]) -> list[Read]:
    """Return what ``read`` returns for each item, in order. Raises the first error."""
    found: list[Read] = []
    for start in range(0, len(items), AT_ONCE):
        found += await asyncio.gather(*map(read, items[start : start + AT_ONCE]))
    return found
