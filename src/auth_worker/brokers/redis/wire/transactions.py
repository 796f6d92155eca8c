"""MULTI/EXEC for those who wait for the outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from auth_worker.brokers.redis.wire.call_types import resolver
from auth_worker.brokers.redis.wire.link import Link
from auth_worker.brokers.redis.wire.resp import error_of, is_error


async def run_transaction(link: Link, commands: Sequence[bytes]) -> list[Any] | None:
    """Run packed ``commands`` as one transaction; None if somebody changed what was watched.

    Raises ``BrokerError``, also where one of the commands was refused.
    """
    answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    link.send_transaction(list(commands), resolver(answered))
    replies = await answered
    for reply in replies or ():
        if is_error(reply):
            raise error_of(reply)
    return None if replies is None else list(replies)
