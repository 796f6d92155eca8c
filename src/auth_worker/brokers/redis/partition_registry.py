"""The registered partitions: how many the queues under a prefix have, for operators, who are not told in code."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from auth_worker.brokers.redis.operator_links import shared_address
from auth_worker.brokers.redis.shared_keys import shared_key_prefix
from auth_worker.brokers.redis.wire.address import Address
from auth_worker.brokers.redis.wire.link import Link
from auth_worker.core.clock import now_ms
from auth_worker.errors import BrokerError, BrokerUnavailableError

TIMEOUT_S = 2.0
_KEY = "auth-worker-partitions"


class Registered(NamedTuple):
    """How many ``partitions`` a ``queue`` has, which is beside the partitions of its ``family``."""

    queue: str
    family: str
    partitions: int


async def register_partitions(address: Address, prefix: str, entries: Sequence[Registered]) -> None:
    """Register the partitions of queues, as those of now. Raises ``BrokerError``."""
    now = now_ms()
    async with _connected(address, prefix) as link:
        dated = [part for each in entries for part in (now, json.dumps(each))]
        await link.execute("ZADD", _key(link, prefix), *dated)


async def registered_partitions(address: Address, prefix: str, queue: str, timeout: float) -> int:
    """Return how many partitions of ``queue`` were registered last; 1 if none are.

    ``timeout`` (s) bounds connecting. Raises ``BrokerError``.
    """
    async with _connected(address, prefix, timeout) as link:
        try:
            found = await read_registered(link, prefix)
        except BrokerUnavailableError:
            raise
        except BrokerError:  # an ACL may let a producer only add
            return 1
    return next((each.partitions for each in reversed(found) if each.queue == queue), 1)


async def read_registered(link: Link, prefix: str) -> list[Registered]:
    """Read all that is registered, the latest last. Raises ``BrokerError``."""
    members = await link.execute("ZRANGE", _key(link, prefix), 0, -1)
    return [Registered(*json.loads(member)) for member in members]


@contextlib.asynccontextmanager
async def _connected(address: Address, prefix: str, timeout: float = TIMEOUT_S) -> AsyncIterator[Link]:
    link = Link(shared_address(address, prefix), name="partitions", client_name="auth-worker:partitions")
    await link.start(timeout)
    try:
        yield link
    finally:
        await link.stop()


def _key(link: Link, prefix: str) -> str:
    return f"{shared_key_prefix(prefix, link.address)}:{_KEY}"
