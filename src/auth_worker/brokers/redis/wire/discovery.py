"""Finds the server to dial: the primary that the sentinels name, or the node of a Redis Cluster that has a slot.

All are asked at once, and the majority's answer counts: a frozen one delays nobody, and one that was cut off and
knows only an earlier state is outvoted.

A BullMQ script touches many keys of a queue, and a dead letter two queues at once, so in a cluster they must share
a slot by a hash tag in the prefix or in both names. When a slot moves, Redis answers MOVED, the connection is
closed, and the next one asks again.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from redis.crc import key_slot

from auth_worker.brokers.redis.wire.dialing import Access, ask
from auth_worker.core.keys import queue_key
from auth_worker.errors import BrokerError, BrokerUnavailableError, ConfigurationError
from auth_worker.system.happy_eyeballs import host_and_port

PATIENCE_S = 1.0
"""How long (s) to wait for those that do not answer, if the others have no majority without them."""
Place = tuple[str, int]


def shared_tag(prefix: str, queues: Iterable[str] = ()) -> str:
    """Return the hash tag that the keys of all ``queues``, or of every queue of ``prefix``, share.

    Raises ``ConfigurationError`` if they have none, or different ones.
    """
    tags = {key: hash_tag_of(key) for key in [queue_key(prefix, queue) for queue in queues] or [prefix]}
    if not all(tags.values()):
        raise ConfigurationError(
            f"{' and '.join(tags)}: in a Redis Cluster the keys of a queue must share a slot, by a hash tag: set "
            "prefix to {bull} (AUTH_WORKER_PREFIX), here and in every producer, or give each queue a tag, such as "
            "{email}Queue"
        )
    if len(set(tags.values())) > 1:
        raise ConfigurationError(
            f"{' and '.join(tags)}: a queue and its dead-letter queue must share a slot in a Redis Cluster: give "
            "both names the same hash tag, such as {email}Queue and {email}DeadLetterQueue"
        )
    return tags.popitem()[1]


def hash_tag_of(key: str) -> str:
    """Return the hash tag as Redis finds it: what is between the first brace and the next closing one."""
    found = re.match(r"[^{]*\{([^}]+)\}", key)
    return found[1] if found else ""


async def primary_of(service: str, sentinels: Sequence[Place], access: Access) -> Place:
    """Return host and port of the primary of ``service``. Raises ``BrokerUnavailableError`` if nobody knows."""

    async def question(sentinel: Place) -> Place:
        answer = await ask(*sentinel, access, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", service)
        if answer is None:
            raise BrokerUnavailableError(f"it does not watch {service!r}")
        return answer[0].decode(), int(answer[1])

    return await _majority(question, sentinels)


async def node_of(tag: str, nodes: Sequence[Place], access: Access) -> Place:
    """Return host and port of the primary that has the slot of ``tag``.

    Raises ``BrokerUnavailableError`` if nobody knows.
    """
    slot = key_slot(tag.encode())

    async def question(node: Place) -> Place:
        for first, last, primary, *_ in await ask(*node, access, "CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return (primary[0] or b"").decode() or node[0], int(primary[1])
        raise BrokerUnavailableError(f"no node has slot {slot}")

    return await _majority(question, nodes)


async def primaries_of(nodes: Sequence[Place], access: Access) -> list[Place]:
    """Return host and port of every primary, by the first of ``nodes`` that answers.

    Raises ``BrokerUnavailableError`` if none does.
    """
    failures: list[str] = []
    for node in nodes:
        try:
            async with asyncio.timeout(PATIENCE_S):
                slots = await ask(*node, access, "CLUSTER", "SLOTS")
        except (OSError, BrokerError) as error:
            failures.append(f"{host_and_port(*node)}: {error}")
        else:
            return sorted(
                {((primary[0] or b"").decode() or node[0], int(primary[1])) for _, _, primary, *_ in slots}
            )
    raise BrokerUnavailableError("; ".join(failures))


async def _majority(question: Callable[[Place], Awaitable[Place]], places: Sequence[Place]) -> Place:
    """Return what most of ``places`` answer, or most of those that answer in time if all have no majority."""
    votes: Counter[Place] = Counter()
    failures: list[str] = []
    asked: dict[asyncio.Task[Any], Place] = {asyncio.ensure_future(question(place)): place for place in places}
    try:
        async with asyncio.timeout(PATIENCE_S):
            waiting = set(asked)
            while waiting and 2 * max(votes.values(), default=0) <= len(places):
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    try:
                        votes[task.result()] += 1
                    except (OSError, BrokerError) as error:
                        failures.append(f"{host_and_port(*asked[task])}: {error}")
    except TimeoutError:
        failures.append(f"no answer within {PATIENCE_S:g} s from the others")
    finally:
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
    if not votes:
        raise BrokerUnavailableError("; ".join(failures))
    return votes.most_common(1)[0][0]
