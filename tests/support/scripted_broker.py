"""A broker in memory that answers nothing by itself: a test answers each call, when and in what order it likes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from auth_worker.config import WorkerConfig
from auth_worker.core.dead_letter import DeadLetter
from auth_worker.core.outcome import Fail, HandBack, Outcome, Refusal
from auth_worker.core.policy import JobPolicy
from auth_worker.core.ports.worker import (
    Fetched,
    Nothing,
    OnFetched,
    OnRing,
    OnSettled,
    Settled,
    Taken,
    Unanswered,
    Unreadable,
)
from auth_worker.core.run import Run
from auth_worker.errors import BrokerError
from auth_worker.job import Job

QUEUE = "work"
NOTHING = Nothing(0, 0)


class FetchCall(NamedTuple):
    """A fetch that waits for its answer."""

    token: str
    answer: OnFetched


class SettleCall(NamedTuple):
    """A settle that waits for its answer."""

    run: Run
    outcome: Outcome
    now: int
    dead_letter: DeadLetter | None
    fetch_next: bool
    answer: OnSettled

    def done(self, following: Taken | Nothing | None = None) -> None:
        """It is written; ``following`` came along, if the settle asked for it."""
        self.answer(Settled(None, following))

    def refused(self, refusal: Refusal = Refusal.NOT_OURS) -> None:
        """It is not written."""
        self.answer(Settled(refusal, None))


class HandBackCall(NamedTuple):
    """A hand-back that waits for its answer."""

    job: Job
    token: str
    answer: OnSettled

    @property
    def job_id(self) -> str:
        """The job's id."""
        return self.job.id


class ScriptedUpkeep:
    """A ``QueueUpkeep``; ``lost`` holds the ids whose lease the broker denies."""

    def __init__(self) -> None:
        self.is_up = True
        self.lost: set[str] = set()
        self.cancelled: dict[str, str] = {}
        self.extended: list[list[str]] = []
        self.handed_back: list[str] = []

    async def wait_up(self) -> None:
        await asyncio.Event().wait()

    async def extend_leases(self, runs: Sequence[Run]) -> set[str]:
        self.extended.append([run.job.id for run in runs])
        return self.lost

    async def find_cancelled(self, runs: Sequence[Run]) -> dict[str, str]:
        return {run.job.id: self.cancelled[run.job.id] for run in runs if run.job.id in self.cancelled}

    async def hand_back_now(self, runs: Iterable[Run]) -> None:
        self.handed_back += [run.job.id for run in runs]

    async def recover_stalled(self) -> list[str]:
        return []

    async def revive_schedulers(self) -> tuple[list[str], list[str]]:
        return [], []

    async def elect(self, lease_ms: int) -> bool:
        return False

    async def reconcile_dead_letters(self) -> int:
        return 0

    async def trim_dead_letters(self, keep: int | None, older_than: float | None) -> None:
        return None


class ScriptedBroker:
    """A ``WorkerBroker``. The calls that wait for an answer are kept in order."""

    def __init__(self) -> None:
        self.upkeep = ScriptedUpkeep()
        self.upkeeps = (self.upkeep,)
        self.down_s = 0.0
        self.fetches: list[FetchCall] = []
        self.settles: list[SettleCall] = []
        self.hand_backs: list[HandBackCall] = []
        self.rings: OnRing | None = None
        self.unanswered: dict[str, Taken] = {}
        """The jobs that tokens hold without our knowing."""
        self.counted: bool = False
        """Whether an earlier settle was carried out."""
        self.unwritable: list[type[Any]] = []
        """The outcomes that cannot be written."""
        self.dead_letters = True
        self.prepared = 0
        self.preparing = asyncio.Event()
        """A preparation ends once it is set."""
        self.preparing.set()
        self.waiting: set[str] = set()
        """The jobs that are marked as waiting."""
        self.mark_error: BrokerError | None = None
        self.advanced: list[str] = []
        self.cancelled_anew: list[tuple[str, str]] = []
        self.advancing: asyncio.Event | None = None
        """If there is one, schedulers are advanced once it is set."""
        self._up = asyncio.Event()
        self._up.set()
        self._on_up: list[Callable[[], None]] = []

    @property
    def is_up(self) -> bool:
        return self._up.is_set()

    def break_off(self) -> None:
        """The connection breaks; what waits for an answer is for the test to fail."""
        self._up.clear()

    def come_back(self) -> None:
        """It has come back."""
        self._up.set()
        for callback in self._on_up:
            callback()

    def ring(self, due: float = 0.0) -> None:
        """There may be a job."""
        rings, self.rings = self.rings, None
        assert rings is not None, "nobody waits to be rung for"
        rings(due)

    async def cancel(self, job_id: str, reason: str, partition: int) -> None:
        self.cancelled_anew.append((job_id, reason))

    def on_up(self, callback: Callable[[], None]) -> None:
        self._on_up.append(callback)

    async def wait_up(self, job: Job) -> None:
        await self._up.wait()

    async def prepare(self) -> None:
        self.prepared += 1
        await self.preparing.wait()

    def watch(self, on_ring: OnRing) -> None:
        self.rings = on_ring

    def unwatch(self) -> None:
        self.rings = None

    def fetch(self, token: str, on_fetched: OnFetched) -> None:
        self.fetches.append(FetchCall(token, on_fetched))

    def can_fetch_after(self, run: Run, outcome: Outcome) -> bool:
        """As Redis: what returns to the queue is written without a fetch."""
        return not isinstance(outcome, HandBack)

    def settle(
        self,
        run: Run,
        outcome: Outcome,
        now: int,
        dead_letter: DeadLetter | None,
        fetch_next: bool,
        on_settled: OnSettled,
    ) -> None:
        if type(outcome) in self.unwritable:
            raise ValueError("it cannot be written")
        self.settles.append(SettleCall(run, outcome, now, dead_letter, fetch_next, on_settled))

    def dead_letter_of(self, run: Run, fail: Fail, now: int, *, readable: bool) -> DeadLetter | None:
        return (
            DeadLetter(f"{run.job.id}@{now}", run.job.name, {"readable": readable}, now)
            if self.dead_letters
            else None
        )

    def hand_back(self, job: Job, token: str, on_settled: OnSettled) -> None:
        self.hand_backs.append(HandBackCall(job, token, on_settled))

    def mark_waiting(self, job: Job) -> None:
        self.waiting.add(job.id)

    async def mark_begun(self, job: Job) -> None:
        if self.mark_error is not None:
            raise self.mark_error
        self.waiting.discard(job.id)

    def forget(self, token: str) -> None:
        return None

    async def find_unanswered(self, tokens: Iterable[str]) -> Unanswered:
        found = [(token, self.unanswered.pop(token)) for token in list(tokens) if token in self.unanswered]
        return Unanswered(found)

    async def was_settled(self, run: Run, outcome: Outcome, now: int) -> bool:
        return self.counted

    async def advance_scheduler(self, run: Run) -> None:
        if self.advancing is not None:
            await self.advancing.wait()
        self.advanced.append(run.scheduler_id)


def a_fetched(
    job_id: str,
    options: Mapping[str, Any] | None = None,
    *,
    stalled_count: int = 0,
    scheduler_id: str = "",
    deferred_failure: str | None = None,
) -> Fetched:
    """A job as a broker gives it."""
    policy = JobPolicy(options or {}, WorkerConfig())
    job = Job(
        id=job_id,
        name="send",
        data=None,
        opts=options or {},
        queue_name=QUEUE,
        max_attempts=policy.attempts,
        stalled_count=stalled_count,
    )
    return Fetched(job, policy, {}, 0.0, scheduler_id, deferred_failure)


def an_unreadable(job_id: str, reason: str = "data is not JSON", *, is_orphan: bool = False) -> Unreadable:
    """A job that cannot be decoded."""
    fetched = a_fetched(job_id)
    return Unreadable(fetched.job, fetched.policy, {}, 0.0, "", reason, is_orphan)
