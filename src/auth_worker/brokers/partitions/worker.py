"""One worker for all partitions of a queue: they share its slots, whichever of them has jobs.

A partition that was found empty is not asked again until its doorbell rings. While no slot is free the doorbells
are off, so that they take no marker from an idle worker. Then a partition without a run here is asked once in
``PROBE_S``, and gets the next slot: a busy partition starves no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from auth_worker.brokers.partitions.balance import PartitionBalance
from auth_worker.core.clock import now_ms
from auth_worker.core.dead_letter import DeadLetter
from auth_worker.core.outcome import Fail, Outcome
from auth_worker.core.ports.worker import (
    LONGEST_PAUSE,
    Fetched,
    Nothing,
    OnFetched,
    OnRing,
    OnSettled,
    QueueUpkeep,
    Settled,
    Taken,
    Unanswered,
    Unreadable,
    WorkerBroker,
)
from auth_worker.core.run import Run
from auth_worker.errors import BrokerError, BrokerUnavailableError
from auth_worker.job import Job

_NOTHING = Nothing(0, 0)


class PartitionedWorkerBroker:
    """A ``WorkerBroker`` over those of the partitions, by number. ``queue`` is what jobs call their queue.

    ``concurrency`` is how many slots the worker has.
    """

    def __init__(self, queue: str, parts: Sequence[WorkerBroker], concurrency: int) -> None:
        self._queue = queue
        self._parts = parts
        self._balance = PartitionBalance(len(parts), concurrency)
        self.upkeeps: Sequence[QueueUpkeep] = [upkeep for part in parts for upkeep in part.upkeeps]
        self._lost_in: dict[str, int] = {}
        """The partition of each token whose reply was lost, until it was searched there."""
        self._on_up: list[Callable[[], None]] = []
        self._on_ring: OnRing | None = None
        self._listening = False
        self._ringing: asyncio.Handle | None = None
        self._recovering: asyncio.Handle | None = None
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._limited: set[int] = set()
        """The partitions that are under a rate limit, whose doorbells say nothing."""
        self._loop = asyncio.get_running_loop()
        for number, part in enumerate(parts):
            part.on_up(partial(self._came_up, number))

    @property
    def is_up(self) -> bool:
        """As in ``WorkerBroker``."""
        return any(part.is_up for part in self._parts)

    @property
    def down_s(self) -> float:
        """As in ``WorkerBroker``."""
        return max(part.down_s for part in self._parts)

    def on_up(self, callback: Callable[[], None]) -> None:
        """As in ``WorkerBroker``."""
        self._on_up.append(callback)

    async def wait_up(self, job: Job) -> None:
        """As in ``WorkerBroker``."""
        await self._parts[job.partition].wait_up(job)

    async def prepare(self) -> None:
        """As in ``WorkerBroker``, for the partitions that are up; the others are prepared when they come up."""
        await asyncio.gather(*(part.prepare() for part in self._parts if part.is_up))

    def watch(self, on_ring: OnRing) -> None:
        """As in ``WorkerBroker``."""
        self._on_ring = on_ring
        self._listening = True
        for number in self._balance.empty():
            self._listen_to(number)
        if self._next() is not None:
            self._ring()

    def unwatch(self) -> None:
        """As in ``WorkerBroker``. Whoever fetches next asks all partitions again."""
        self._on_ring = None
        self._stop_listening()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._limited.clear()
        self._balance.forget_empty()

    def fetch(self, token: str, on_fetched: OnFetched) -> None:
        """As in ``WorkerBroker``: from the partition with the fewest slots of those that may have jobs."""
        number = self._next()
        if number is None:
            if self.is_up:
                self._loop.call_soon(on_fetched, _NOTHING)
                return
            number = 0
        if self._balance.take(number, token) and self._listening:
            self._stop_listening()
        self._parts[number].fetch(token, partial(self._fetched, number, token, on_fetched))

    def can_fetch_after(self, run: Run, outcome: Outcome) -> bool:
        """As in ``WorkerBroker``: not if the partition is away, or another one should have the slot."""
        part = self._parts[run.job.partition]
        return part.is_up and part.can_fetch_after(run, outcome) and not self._balance.is_unfair(self._is_up)

    def settle(
        self,
        run: Run,
        outcome: Outcome,
        now: int,
        dead_letter: DeadLetter | None,
        fetch_next: bool,
        on_settled: OnSettled,
    ) -> None:
        """As in ``WorkerBroker``."""
        number = run.job.partition
        settled = partial(self._settled, number, run.token, fetch_next, on_settled)
        self._parts[number].settle(run, outcome, now, dead_letter, fetch_next, settled)

    def dead_letter_of(self, run: Run, fail: Fail, now: int, *, readable: bool) -> DeadLetter | None:
        """As in ``WorkerBroker``."""
        return self._parts[run.job.partition].dead_letter_of(run, fail, now, readable=readable)

    def hand_back(self, job: Job, token: str, on_settled: OnSettled) -> None:
        """As in ``WorkerBroker``."""
        handed_back = partial(self._handed_back, job.partition, token, on_settled)
        self._parts[job.partition].hand_back(job, token, handed_back)

    def mark_waiting(self, job: Job) -> None:
        """As in ``WorkerBroker``."""
        self._parts[job.partition].mark_waiting(job)

    async def mark_begun(self, job: Job) -> None:
        """As in ``WorkerBroker``."""
        await self._parts[job.partition].mark_begun(job)

    def forget(self, token: str) -> None:
        """As in ``WorkerBroker``."""
        self._balance.leave(token)
        for part in self._parts:
            part.forget(token)

    async def find_unanswered(self, tokens: Iterable[str]) -> Unanswered:
        """As in ``WorkerBroker``. Raises ``BrokerError`` if no partition can be searched."""
        wanted, up = set(tokens), [number for number in range(len(self._parts)) if self._is_up(number)]
        if not up:
            raise BrokerUnavailableError("no partition can be reached")
        searches = (self._parts[number].find_unanswered(wanted) for number in up)
        found: list[tuple[str, Taken]] = []
        for number, result in zip(list(up), await asyncio.gather(*searches, return_exceptions=True), strict=True):
            if isinstance(result, BrokerUnavailableError):
                up.remove(number)
            elif isinstance(result, BaseException):
                raise result
            else:
                found += [(token, self._named(number, taken)) for token, taken in result.found]
        unsearched = {token for token in wanted if self._lost_in.get(token) not in (None, *up)}
        for token in wanted - unsearched:
            self._lost_in.pop(token, None)
        if any(self._is_up(self._lost_in[token]) for token in unsearched):  # it came up during the search
            self._recovering = self._recovering or self._loop.call_soon(self._recover)
        return Unanswered(found, unsearched)

    async def was_settled(self, run: Run, outcome: Outcome, now: int) -> bool:
        """As in ``WorkerBroker``."""
        return await self._parts[run.job.partition].was_settled(run, outcome, now)

    async def cancel(self, job_id: str, reason: str, partition: int) -> None:
        """As in ``WorkerBroker``."""
        await self._parts[partition].cancel(job_id, reason, 0)

    async def advance_scheduler(self, run: Run) -> None:
        """As in ``WorkerBroker``."""
        await self._parts[run.job.partition].advance_scheduler(run)

    def _is_up(self, number: int) -> bool:
        return self._parts[number].is_up

    def _next(self) -> int | None:
        return self._balance.next(self._is_up)

    def _named(self, number: int, taken: Taken) -> Taken:
        taken.job.queue_name, taken.job.partition = self._queue, number
        return taken

    def _fetched(
        self, number: int, token: str, on_fetched: OnFetched, answer: Taken | Nothing | BrokerError
    ) -> None:
        if isinstance(answer, Fetched | Unreadable):
            self._balance.hold(number, token)
            on_fetched(self._named(number, answer))
            return
        self._balance.leave(token)
        if isinstance(answer, Nothing):
            self._found_empty(number, answer)
            if self._next() is not None:
                self.fetch(token, on_fetched)
                return
            answer = _NOTHING
        elif isinstance(answer, BrokerUnavailableError):
            self._lost(number, token)
        on_fetched(answer)

    def _settled(
        self, number: int, token: str, fetch_next: bool, on_settled: OnSettled, answer: Settled | BrokerError
    ) -> None:
        following = answer.next if isinstance(answer, Settled) else None
        if isinstance(following, Fetched | Unreadable):
            self._balance.hold(number, token)
            self._named(number, following)
            on_settled(answer)
            return
        self._balance.leave(token)
        if fetch_next and isinstance(answer, BrokerUnavailableError):
            self._lost(number, token)
        elif fetch_next and isinstance(answer, Settled) and answer.refusal is None:
            self._found_empty(number, following or _NOTHING)
            answer = Settled(None, _NOTHING)
        on_settled(answer)

    def _handed_back(self, number: int, token: str, on_settled: OnSettled, answer: Settled | BrokerError) -> None:
        self._balance.leave(token)
        if isinstance(answer, BrokerUnavailableError):
            self._lost(number, token)
        on_settled(answer)

    def _found_empty(self, number: int, answer: Nothing) -> None:
        """Note that a partition has no job now, and until when, if that is known."""
        limited_s = min(answer.limited_ms / 1000, LONGEST_PAUSE)
        due_s = max(answer.next_due - now_ms(), 0) / 1000 if answer.next_due else 0.0
        self._balance.found_empty(number, limited_s)
        if (timer := self._timers.pop(number, None)) is not None:
            timer.cancel()
        if limited_s:
            self._limited.add(number)
        if pause := limited_s or due_s:
            self._timers[number] = self._loop.call_later(pause, self._rang, number, 0.0)
        if self._listening:
            self._listen_to(number)

    def _listen_to(self, number: int) -> None:
        if number not in self._limited:
            self._parts[number].watch(partial(self._rang, number))

    def _rang(self, number: int, due: float) -> None:
        """There may be a job in the partition: now, or at ``due`` (epoch ms)."""
        if due > now_ms():
            self._found_empty(number, Nothing(0, due))
            return
        self._limited.discard(number)
        self._balance.may_have_jobs(number)
        self._ring()

    def _ring(self) -> None:
        if self._on_ring is not None and self._ringing is None:
            self._ringing = self._loop.call_soon(self._ring_now)

    def _ring_now(self) -> None:
        self._ringing = None
        on_ring, self._on_ring = self._on_ring, None
        if on_ring is not None:
            on_ring(0.0)

    def _stop_listening(self) -> None:
        self._listening = False
        for part in self._parts:
            part.unwatch()

    def _lost(self, number: int, token: str) -> None:
        """Note where a reply was lost. If other partitions are up, they get its slot once they are searched."""
        self._lost_in[token] = number
        if self.is_up:
            self._recovering = self._recovering or self._loop.call_soon(self._recover)

    def _came_up(self, number: int) -> None:
        self._balance.may_have_jobs(number)
        self._recovering = self._recovering or self._loop.call_soon(self._recover)

    def _recover(self) -> None:
        self._recovering = None
        for callback in self._on_up:
            callback()
