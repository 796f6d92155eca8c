"""Sums up dead letters: where from, why, since when, how many of the last 24 hours, and since the last deploy."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pydantic import Field

from auth_worker.admin.dead_letter_queries import DeadLetterQueries
from auth_worker.admin.error_groups import TREND_HOURS
from auth_worker.admin.selection import EVERY
from auth_worker.core.camel_model import CamelModel
from auth_worker.core.clock import now_ms
from auth_worker.core.dead_letter import failed_at_of, is_dead_letter_id, queue_of
from auth_worker.core.history import VersionMark
from auth_worker.core.ports.operator import OperatorBroker

MOST_COUNTED = 1000
"""How many of a queue's newest dead letters are counted by their ids, which say where from and since when."""
MOST_READ = 50
"""How many of them are read, for the reasons."""
HOUR_MS = 3_600_000


class DeadLetterSummary(CamelModel):
    """What the dead-letter queue holds: ``letters`` in all.

    ``origins`` and ``trend``, how many failed in each of the last 24 hours, are of the newest ``MOST_COUNTED``;
    ``reasons``, the number of each reason class, of the newest ``MOST_READ``. ``oldest`` and ``newest`` are when
    those jobs failed (epoch ms), None where the queue has other jobs there.
    """

    dead_letter_queue: str
    letters: int
    origins: dict[str, int] = Field(default_factory=dict)
    reasons: dict[str, int] = Field(default_factory=dict)
    oldest: int | None = None
    newest: int | None = None
    trend: list[int] = Field(default_factory=list)


class SinceDeploy(NamedTuple):
    """How many jobs of each queue became dead letters since the workers' version changed to that of ``deploy``."""

    deploy: VersionMark
    letters: Mapping[str, int]


async def count_since_deploy(
    broker: OperatorBroker, versions: Sequence[VersionMark], dead_letter_queues: Sequence[str]
) -> SinceDeploy | None:
    """Count by the ids of the newest ``MOST_COUNTED`` in each; None if the version has never changed.

    Raises ``BrokerError``.
    """
    if len(versions) < 2:
        return None
    deploy = versions[-1]
    newest = await asyncio.gather(*(broker.dead_letters(name).ids(0, MOST_COUNTED) for name in dead_letter_queues))
    found = Counter(queue_of(each) for ids in newest for each in ids if (failed_at_of(each) or 0) >= deploy.at)
    return SinceDeploy(deploy, found)


async def sum_up(broker: OperatorBroker, dead: DeadLetterQueries, queue: str, letters: int) -> DeadLetterSummary:
    """Return the summary of a queue with so many dead letters. Raises ``BrokerError``."""
    store = broker.dead_letters(queue)
    ids, last, page = await asyncio.gather(
        store.ids(0, MOST_COUNTED), store.ids(letters - 1, 1), dead.page(queue, EVERY, 0, MOST_READ)
    )
    now = now_ms()
    origins: dict[str, int] = {}
    trend = [0] * TREND_HOURS
    letter_ids = [each for each in ids if is_dead_letter_id(each)]
    for letter_id in letter_ids:
        origins[queue_of(letter_id)] = origins.get(queue_of(letter_id), 0) + 1
        hours_ago = (now - (failed_at_of(letter_id) or 0)) // HOUR_MS
        if 0 <= hours_ago < TREND_HOURS:
            trend[TREND_HOURS - 1 - hours_ago] += 1
    reasons: dict[str, int] = {}
    for letter in page.letters:
        reasons[letter.reason_class] = reasons.get(letter.reason_class, 0) + 1
    return DeadLetterSummary(
        dead_letter_queue=queue,
        letters=letters,
        origins=origins,
        reasons=dict(sorted(reasons.items(), key=lambda entry: -entry[1])),
        oldest=next(map(failed_at_of, last), None),
        newest=next(map(failed_at_of, letter_ids), None),
        trend=trend,
    )
