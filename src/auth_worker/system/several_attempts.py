"""Waits for several attempts of which some may take long, or fail, without making the others wait."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any


async def wait_for_most(attempts: Collection[asyncio.Task[Any]], patience: float) -> None:
    """Wait until all are done, or until ``patience`` s after the first one has succeeded.

    Raises the error of one if all fail.
    """
    waiting = set(attempts)
    while waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        errors = [task.exception() for task in done]
        if None in errors:
            break
        if not waiting and errors[0] is not None:
            raise errors[0]
    if waiting:
        await asyncio.wait(waiting, timeout=patience)
