"""While a node is away, what the others have is found, and what they lack is not said to be nowhere."""

from __future__ import annotations

from typing import cast

import pytest

from auth_worker.brokers.partitions.answers import find_answer
from auth_worker.brokers.partitions.jobs import PartitionedJobReader
from auth_worker.core.partitions import partition_of_id
from auth_worker.core.ports.operator import JobReader
from auth_worker.core.ports.values import StoredKind
from auth_worker.errors import BrokerUnavailableError

PARTITIONS = 3


class Part:
    """What a partition that has the jobs ``ids``, or is away, says of them."""

    def __init__(self, *ids: str, away: bool = False) -> None:
        self.ids, self.away = ids, away

    async def kind(self, job_id: str) -> StoredKind:
        """As in ``JobReader``."""
        if self.away:
            raise BrokerUnavailableError("away")
        return "job" if job_id in self.ids else "none"

    async def rows(self, ids: list[str], large: object, *, brief: bool) -> list[str | None]:
        """As in ``JobReader``, but a row is the id."""
        return [one if await self.kind(one) == "job" else None for one in ids]


def reader(parts: list[Part]) -> PartitionedJobReader:
    """Reads the jobs of all parts."""
    return PartitionedJobReader("mailQueue", [cast(JobReader, part) for part in parts])


async def ask(part: str | None) -> str | None:
    """A part answers with its name; None stands for one that is away."""
    if part is None:
        raise BrokerUnavailableError("away")
    return part


async def test_the_first_answer_counts_though_a_node_is_away() -> None:
    assert await find_answer([None, "", "found", "later"], ask) == "found"
    assert await find_answer(["", ""], ask) is None
    with pytest.raises(BrokerUnavailableError):
        await find_answer([None, ""], ask)


async def test_a_job_is_found_though_the_node_is_away_that_its_id_says() -> None:
    likely = partition_of_id("moved", PARTITIONS)
    parts = [Part("moved") for _ in range(PARTITIONS)]
    parts[likely] = Part(away=True)
    assert await reader(parts).holder_of("moved") != likely
    (row,) = await reader(parts).rows(["moved"])
    assert row is not None


async def test_a_job_is_not_said_to_be_missing_while_the_node_is_away_that_may_have_it() -> None:
    parts = [Part() for _ in range(PARTITIONS)]
    likely = partition_of_id("unknown", PARTITIONS)
    parts[(likely + 1) % PARTITIONS] = Part(away=True)
    assert await reader(parts).rows(["unknown"]) == [None], "its id says another one"
    parts[likely] = Part(away=True)
    with pytest.raises(BrokerUnavailableError):
        await reader(parts).holder_of("unknown")
    with pytest.raises(BrokerUnavailableError):
        await reader(parts).rows(["unknown"])
