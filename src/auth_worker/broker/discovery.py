"""Which server to dial: the primary the sentinels name, or the node of a Redis Cluster that has a slot.

All are asked at once, and what most of them say counts: one that is frozen holds nobody up, and one that was cut
off from the others, and knows only how things were, is outvoted.

A BullMQ script touches many keys of a queue, and a dead letter two queues at once, so in a cluster they must share
a slot: a hash tag in the prefix or in both names sees to that. When a slot moves, Redis answers MOVED, the
connection is given up, and the next one asks again.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from redis.crc import key_slot

from auth_worker.broker.dialing import Access, ask
from auth_worker.errors import BrokerError, BrokerUnavailableError, ConfigurationError
from auth_worker.happy_eyeballs import host_and_port

PATIENCE_S = 1.0
"""How long to wait for those that do not answer, where the others do not agree without them."""
Place = tuple[str, int]


def shared_tag(prefix: str, queues: Iterable[str] = ()) -> str:
    """The hash tag that the keys of all ``queues``, or of every queue of ``prefix``, have.

    Raises ``ConfigurationError`` where they have none, or not the same.
    """
    tags = {key: _tag_of(key) for key in [f"{prefix}:{queue}" for queue in queues] or [prefix]}
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


def _tag_of(key: str) -> str:
    """As Redis finds it: what is between the first brace and the next closing one."""
    found = re.match(r"[^{]*\{([^}]+)\}", key)
    return found[1] if found else ""


async def primary_of(service: str, sentinels: Sequence[Place], access: Access) -> Place:
    """The host and port of the primary of ``service``. Raises ``BrokerUnavailableError`` when nobody knows."""

    async def question(sentinel: Place) -> Place:
        answer = await ask(*sentinel, access, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", service)
        if answer is None:
            raise BrokerUnavailableError(f"it watches no {service!r}")
        return answer[0].decode(), int(answer[1])

    return await _majority(question, sentinels)


async def node_of(tag: str, nodes: Sequence[Place], access: Access) -> Place:
    """The host and port of the primary that has the slot of ``tag``.

    Raises ``BrokerUnavailableError`` when nobody knows.
    """
    slot = key_slot(tag.encode())

    async def question(node: Place) -> Place:
        for first, last, primary, *_ in await ask(*node, access, "CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return (primary[0] or b"").decode() or node[0], int(primary[1])
        raise BrokerUnavailableError(f"nobody has slot {slot}")

    return await _majority(question, nodes)


async def _majority(question: Callable[[Place], Awaitable[Place]], places: Sequence[Place]) -> Place:
    """What most of ``places`` answer; of those that do so in time, where there is no majority of all."""
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
