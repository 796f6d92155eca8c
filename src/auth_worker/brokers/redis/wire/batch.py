"""Sends several commands together, without a task for each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from auth_worker.brokers.redis.wire.calls import resolver
from auth_worker.brokers.redis.wire.link import Link
from auth_worker.brokers.redis.wire.resp import pack


async def execute_all(link: Link, commands: Iterable[tuple[str | int | float | bytes, ...]]) -> list[Any]:
    """Send the commands and wait for all replies. Raises ``BrokerError``."""
    loop = asyncio.get_running_loop()
    replies: list[asyncio.Future[Any]] = []
    for command in commands:
        replies.append(loop.create_future())
        link.send(pack(*command), resolver(replies[-1]))
    return await asyncio.gather(*replies)
