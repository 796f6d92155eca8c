"""A worker of a queue with partitions sees one queue; whatever comes from a partition stays with it."""

from __future__ import annotations

import asyncio

import pytest

from auth_worker.brokers.partitions.balance import PROBE_S
from auth_worker.brokers.partitions.worker import PartitionedWorkerBroker
from auth_worker.core.clock import now_ms
from auth_worker.core.outcome import Complete, HandBack, Refusal
from auth_worker.core.ports.worker import Fetched, Nothing, Settled, Taken, Unanswered
from auth_worker.core.run import Run
from auth_worker.errors import BrokerBusyError, BrokerError, BrokerUnavailableError
from support.processors import eventually
from support.scripted_broker import NOTHING, ScriptedBroker, a_fetched

AWAY = BrokerUnavailableError("away")


class Partitions:
    """A worker's broker over three scripted ones, and what it has said."""

    def __init__(self) -> None:
        self.parts = [ScriptedBroker() for _ in range(3)]
        self.broker = PartitionedWorkerBroker("mail", self.parts, 4)
        self.fetched: list[tuple[str, Taken | Nothing | BrokerError]] = []
        self.settled: list[Settled | BrokerError] = []
        self.rings: list[float] = []
        self.ups = 0
        self.broker.on_up(self._came_up)

    def fetch(self, token: str) -> None:
        """Ask for a job."""
        self.broker.fetch(token, lambda answer: self.fetched.append((token, answer)))

    def watch(self) -> None:
        """Wait for a ring."""
        self.broker.watch(self.rings.append)

    def fetched_run(self, number: int, job_id: str = "1") -> Run:
        """A run that a partition has given, for which the token ``t<number>`` was used."""
        token = f"t{number}"
        self.fetch(token)
        self.parts[number].fetches.pop().answer(a_fetched(job_id))
        taken = self.fetched.pop()[1]
        assert isinstance(taken, Fetched)
        return Run(taken.job, taken.policy, taken.stored, token, 0.0)

    def settle(self, run: Run, *, fetch_next: bool = False) -> None:
        """Complete a run."""
        self.broker.settle(run, Complete(b"1"), 5, None, fetch_next, self.settled.append)

    def answer_nothing(self) -> None:
        """Answer every fetch that waits, until none does: there is no job."""
        while waiting := [part.fetches.pop() for part in self.parts if part.fetches]:
            for fetch in waiting:
                fetch.answer(NOTHING)

    def _came_up(self) -> None:
        self.ups += 1


@pytest.fixture
async def partitions() -> Partitions:
    """Three partitions, in the loop of the test."""
    return Partitions()


async def turns() -> None:
    """Let everything happen that is ready to."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_fetch_asks_one_partition_after_the_other_before_it_finds_nothing(partitions: Partitions) -> None:
    partitions.fetch("a")
    assert [len(part.fetches) for part in partitions.parts] == [1, 0, 0]
    partitions.parts[0].fetches.pop().answer(NOTHING)
    partitions.parts[1].fetches.pop().answer(NOTHING)
    assert partitions.fetched == []
    partitions.parts[2].fetches.pop().answer(NOTHING)
    assert partitions.fetched == [("a", NOTHING)]
    partitions.fetch("a")
    await turns()
    assert partitions.fetched == [("a", NOTHING)] * 2, "nobody is asked again before a doorbell rings"
    assert not any(part.fetches for part in partitions.parts)


async def test_a_job_is_of_the_whole_queue_and_knows_its_partition(partitions: Partitions) -> None:
    runs = [partitions.fetched_run(number, "7") for number in range(3)]
    assert [(run.job.queue_name, run.job.partition, run.job.id) for run in runs] == [
        ("mail", 0, "7"),
        ("mail", 1, "7"),
        ("mail", 2, "7"),
    ]


async def test_whatever_is_done_to_a_job_goes_to_its_partition(partitions: Partitions) -> None:
    runs = [partitions.fetched_run(number, "7") for number in range(3)]
    run, part = runs[1], partitions.parts[1]
    partitions.settle(run)
    partitions.broker.hand_back(run.job, run.token, partitions.settled.append)
    partitions.broker.mark_waiting(run.job)
    assert (part.settles[0].run, part.hand_backs[0].job, part.waiting) == (run, run.job, {"7"})
    await partitions.broker.mark_begun(run.job)
    await partitions.broker.advance_scheduler(run)
    await partitions.broker.wait_up(run.job)
    part.counted = True
    assert await partitions.broker.was_settled(run, Complete(b"1"), 5)
    assert (part.waiting, part.advanced) == (set(), [""])
    await partitions.broker.cancel("7", "no longer needed", 1)
    assert part.cancelled_anew == [("7", "no longer needed")]
    for other in (partitions.parts[0], partitions.parts[2]):
        assert not any((other.settles, other.hand_backs, other.waiting, other.advanced, other.cancelled_anew))


async def test_the_next_job_comes_with_the_settle_from_the_same_partition(partitions: Partitions) -> None:
    run = partitions.fetched_run(0)
    partitions.settle(run, fetch_next=True)
    partitions.parts[0].settles.pop().done(a_fetched("2"))
    (reply,) = partitions.settled
    assert isinstance(reply, Settled)
    assert isinstance(reply.next, Fetched)
    assert (reply.next.job.queue_name, reply.next.job.partition) == ("mail", 0)


async def test_a_refused_settle_keeps_its_refusal(partitions: Partitions) -> None:
    run = partitions.fetched_run(0)
    partitions.settle(run, fetch_next=True)
    partitions.parts[0].settles.pop().refused()
    assert partitions.settled == [Settled(Refusal.NOT_OURS, None)]


async def test_a_watched_queue_rings_once_for_whichever_partition_gets_a_job(partitions: Partitions) -> None:
    partitions.fetch("a")
    partitions.answer_nothing()
    partitions.watch()
    await turns()
    assert partitions.rings == []
    partitions.parts[2].ring()
    partitions.parts[1].ring()
    await turns()
    assert partitions.rings == [0.0]
    partitions.fetch("a")
    assert [len(part.fetches) for part in partitions.parts] == [0, 0, 1], "whoever rang is asked"


async def test_a_queue_that_is_watched_while_a_partition_may_have_jobs_rings_at_once(
    partitions: Partitions,
) -> None:
    partitions.watch()
    await turns()
    assert partitions.rings == [0.0]


async def test_a_delayed_job_rings_when_it_is_due(partitions: Partitions) -> None:
    partitions.fetch("a")
    for part in partitions.parts:
        part.fetches.pop().answer(Nothing(0, now_ms() + 80) if part is partitions.parts[1] else NOTHING)
    partitions.watch()
    partitions.parts[0].ring(now_ms() + 40)
    await turns()
    assert partitions.rings == []
    assert partitions.parts[0].rings is not None, "its doorbell is on again: a job may come that is due earlier"
    await eventually(lambda: partitions.rings == [0.0], "a job is due")
    partitions.fetch("a")
    assert len(partitions.parts[0].fetches) == 1


async def test_the_doorbell_of_a_partition_under_a_rate_limit_is_off_until_its_end(partitions: Partitions) -> None:
    partitions.fetch("a")
    partitions.parts[0].fetches.pop().answer(Nothing(60, 0))
    partitions.answer_nothing()
    partitions.watch()
    assert [part.rings is None for part in partitions.parts] == [True, False, False]
    await eventually(lambda: partitions.rings == [0.0], "the limit is over")
    partitions.fetch("a")
    assert len(partitions.parts[0].fetches) == 1


async def test_the_doorbells_are_off_while_every_slot_is_in_use(partitions: Partitions) -> None:
    partitions.fetch("a")
    partitions.parts[0].fetches.pop().answer(NOTHING)
    partitions.answer_nothing()
    partitions.watch()
    assert all(part.rings for part in partitions.parts)
    partitions.parts[0].ring()
    for token in "abcd":
        partitions.fetch(token)
    assert not any(part.rings for part in partitions.parts), "an idle worker must hear them"
    partitions.broker.unwatch()


async def test_after_unwatch_every_partition_is_asked_again(partitions: Partitions) -> None:
    partitions.fetch("a")
    partitions.parts[0].fetches.pop().answer(Nothing(60_000, 0))
    partitions.answer_nothing()
    partitions.broker.unwatch()
    partitions.fetch("a")
    partitions.answer_nothing()
    assert partitions.fetched == [("a", NOTHING)] * 2


async def test_no_partition_starves_while_another_is_busy(partitions: Partitions) -> None:
    run = partitions.fetched_run(0)
    partitions.fetch("b")
    partitions.answer_nothing()
    assert partitions.broker.can_fetch_after(run, Complete(b"1"))
    await asyncio.sleep(PROBE_S)
    assert not partitions.broker.can_fetch_after(run, Complete(b"1")), "an empty one should be asked"
    assert not partitions.broker.can_fetch_after(run, HandBack(True)), "its own broker cannot"


async def test_a_job_of_a_node_that_is_away_is_settled_without_a_fetch(partitions: Partitions) -> None:
    runs = [partitions.fetched_run(number) for number in range(3)]
    partitions.parts[1].break_off()
    assert [partitions.broker.can_fetch_after(run, Complete(b"1")) for run in runs] == [True, False, True]
    assert partitions.broker.is_up
    partitions.parts[1].down_s = 7.0
    assert partitions.broker.down_s == 7.0
    partitions.fetch("x")
    assert not partitions.parts[1].fetches


async def test_a_lost_reply_is_looked_for_at_once_where_others_are_up(partitions: Partitions) -> None:
    partitions.fetch("a")
    partitions.parts[0].break_off()
    partitions.parts[0].fetches.pop().answer(AWAY)
    assert partitions.fetched == [("a", AWAY)]
    await turns()
    assert partitions.ups == 1
    partitions.parts[1].unanswered["b"] = a_fetched("2")
    found = await partitions.broker.find_unanswered(["a", "b"])
    ((token, taken),) = found.found
    assert (token, taken.job.partition, found.unsearched) == ("b", 1, {"a"})
    partitions.parts[0].unanswered["a"] = a_fetched("1")
    partitions.parts[0].come_back()
    await turns()
    assert partitions.ups == 2
    found = await partitions.broker.find_unanswered(["a"])
    assert [(token, taken.job.partition) for token, taken in found.found] == [("a", 0)]
    assert not found.unsearched


async def test_a_node_that_leaves_while_it_is_searched_leaves_its_tokens_unsearched(
    partitions: Partitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def leave(tokens: object) -> Unanswered:
        raise AWAY

    async def refuse(tokens: object) -> Unanswered:
        raise BrokerBusyError("busy")

    partitions.fetch("a")
    partitions.parts[0].fetches.pop().answer(AWAY)
    monkeypatch.setattr(partitions.parts[0], "find_unanswered", leave)
    assert (await partitions.broker.find_unanswered(["a"])).unsearched == {"a"}
    monkeypatch.setattr(partitions.parts[1], "find_unanswered", refuse)
    with pytest.raises(BrokerBusyError):
        await partitions.broker.find_unanswered(["a"])


async def test_without_any_node_a_fetch_fails_as_with_one_broker(partitions: Partitions) -> None:
    for part in partitions.parts:
        part.break_off()
    partitions.fetch("a")
    partitions.parts[0].fetches.pop().answer(AWAY)
    await turns()
    assert (partitions.fetched, partitions.ups) == ([("a", AWAY)], 0)
    with pytest.raises(BrokerUnavailableError):
        await partitions.broker.find_unanswered(["a"])
    for part in partitions.parts:
        part.come_back()
    await turns()
    assert partitions.ups == 1, "once for all that come back together"


async def test_only_the_nodes_that_are_up_are_prepared(partitions: Partitions) -> None:
    partitions.parts[1].break_off()
    await partitions.broker.prepare()
    assert [part.prepared for part in partitions.parts] == [1, 0, 1]


async def test_the_slot_of_a_settle_whose_reply_is_lost_is_looked_for(partitions: Partitions) -> None:
    run = partitions.fetched_run(0)
    partitions.settle(run, fetch_next=True)
    partitions.parts[0].settles.pop().answer(AWAY)
    partitions.broker.hand_back(run.job, run.token, partitions.settled.append)
    partitions.parts[0].hand_backs.pop().answer(AWAY)
    await turns()
    assert (partitions.settled, partitions.ups) == ([AWAY, AWAY], 1)
    partitions.broker.forget(run.token)
