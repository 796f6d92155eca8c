"""Sends several commands together, without a task or a future for each."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from auth_worker.brokers.redis.wire.link import Link
from auth_worker.brokers.redis.wire.resp import pack
from auth_worker.errors import BrokerError


async def execute_all(link: Link, commands: Sequence[tuple[str | int | float | bytes, ...]]) -> list[Any]:
    """Send the commands and wait for all replies. Raises ``BrokerError``."""
    replies: list[Any] = []
    answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def take(reply: Any) -> None:
        replies.append(reply)
        if len(replies) == len(commands) and not answered.done():
            answered.set_result(None)

    for command in commands:
        link.send(pack(*command), take)
    if commands:
        await answered
    for reply in replies:
        if isinstance(reply, BrokerError):
            raise reply
    return replies
