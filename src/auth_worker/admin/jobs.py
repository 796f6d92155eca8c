"""Acting on jobs: one, or many in batches."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from auth_worker.admin.bulk import Act, Pace, Steps, in_batches, only_jobs, recorded
from auth_worker.admin.errors import RefusedError
from auth_worker.admin.jobs_read import JobReading, checked_state
from auth_worker.admin.letters_read import LetterReading
from auth_worker.admin.models import BulkStep, Change
from auth_worker.backoff import LONGEST_DELAY
from auth_worker.broker.job_changes import ELSEWHERE, GONE, LOCKED, OK, SCHEDULED, JobChanges
from auth_worker.broker.job_view import JobView
from auth_worker.broker.link import Link
from auth_worker.broker.producer import NOT_ADDED
from auth_worker.broker.queue_view import QueueView
from auth_worker.coercion import is_truthy
from auth_worker.config import Settings
from auth_worker.dead_letter import MARK
from auth_worker.errors import BrokerError, ConfigurationError
from auth_worker.options import decode_json
from auth_worker.queue import MAX_PRIORITY, JobQueue

PROBLEMS = {
    GONE: "there is no such job",
    LOCKED: "a worker has it",
    ELSEWHERE: "it is not in that state",
    SCHEDULED: "its job scheduler needs it: remove the scheduler instead",
}
_CLEANABLE_AT_ONCE = ("completed", "failed")


class JobOperations(JobReading):
    """The jobs of all queues under ``prefix``, to look at and to act on. Every method raises ``BrokerError``."""

    def __init__(
        self,
        link: Link,
        prefix: str,
        dead: LetterReading,
        record: Callable[[Change], None],
        settings: Settings,
    ) -> None:
        super().__init__(link, prefix)
        self._dead = dead
        self._record = record
        self._settings = settings.model_copy(update={"prefix": prefix})

    async def add(self, queue: str, name: str, data: Any, options: Mapping[str, Any]) -> str:
        """Add a job as ``JobQueue.add`` does; returns its id.

        Raises ``ConfigurationError``, and ``RefusedError`` where its parent is not there.
        """
        async with JobQueue(queue, self._link.address, settings=self._settings) as producer:
            try:
                job_id = await producer.add(name, data, **options)
            except BrokerError as error:
                if error.code != NOT_ADDED:
                    raise
                raise RefusedError(str(error)) from error
        self._record(Change(action="add", queue=queue, target=job_id))
        return job_id

    async def retry(self, queue: str, job_id: str) -> None:
        """Let a finished job run again, with fresh attempts; a failed one's letter is removed in the same step.

        Raises ``NotFoundError``, and ``RefusedError`` for a job in another state.
        """
        await self._one("retry", queue, job_id, self._retrying(queue))

    async def promote(self, queue: str, job_id: str) -> None:
        """Let a delayed job run now. Raises ``NotFoundError`` and ``RefusedError``."""
        changes = JobChanges(self._link, self._prefix, queue)
        await self._one("promote", queue, job_id, _each(changes.promote))

    async def remove(self, queue: str, job_id: str, *, children: bool = False) -> None:
        """Remove a job, and with ``children`` its children. Raises ``NotFoundError`` and ``RefusedError``."""
        changes = JobChanges(self._link, self._prefix, queue)
        await self._one("remove", queue, job_id, _each(lambda one: changes.remove(one, children)))

    async def change(
        self, queue: str, job_id: str, *, priority: int | None = None, delay: int | None = None
    ) -> None:
        """Give a job that has not finished another ``priority`` (0: none), a delayed one a ``delay`` (ms).

        Only a delayed job takes another delay, so that comes first: where it is refused, nothing is changed.
        Raises ``ConfigurationError``, ``NotFoundError`` and ``RefusedError``.
        """
        changes = JobChanges(self._link, self._prefix, queue)
        if priority is not None:
            _check("priority", priority, MAX_PRIORITY)
        if delay is not None:
            _check("delay", delay, LONGEST_DELAY)
            act = _each(lambda one: changes.change_delay(one, delay), "only a delayed job has one to change")
            await self._one("change delay", queue, job_id, act)
        if priority is not None:
            act = _each(lambda one: changes.change_priority(one, priority), "it has finished")
            await self._one("change priority", queue, job_id, act)

    def retry_many(self, queue: str, ids: Sequence[str], rate: float | None = None) -> Steps:
        """``retry`` of these, at most ``rate`` a second; those that cannot be are skipped."""
        return self._many("retry", queue, ids, self._retrying(queue), rate)

    def promote_many(self, queue: str, ids: Sequence[str], rate: float | None = None) -> Steps:
        """``promote`` of these, at most ``rate`` a second; those that cannot be are skipped."""
        act = _each(JobChanges(self._link, self._prefix, queue).promote)
        return self._many("promote", queue, ids, act, rate)

    def remove_many(self, queue: str, ids: Sequence[str], rate: float | None = None) -> Steps:
        """``remove`` of these, at most ``rate`` a second; those that cannot be are skipped."""
        act = _each(JobChanges(self._link, self._prefix, queue).remove)
        return self._many("remove", queue, ids, act, rate)

    def drain(self, queue: str, *, delayed: bool = False) -> Steps:
        """Remove all that waits, and with ``delayed`` what waits for its time; what a scheduler needs stays."""
        return recorded(self._drain(queue, delayed), self._record, "drain", queue, "all")

    def clean(self, queue: str, state: str, older_than: float) -> Steps:
        """Remove the completed or failed jobs that finished more than ``older_than`` s ago.

        Raises ``ConfigurationError`` for another state.
        """
        state = checked_state(state)
        if state not in _CLEANABLE_AT_ONCE:
            raise ConfigurationError(f"clean is for completed and failed jobs: remove those that are {state}")
        return recorded(self._clean(queue, state, older_than), self._record, f"clean {state}", queue, "all")

    async def count_older(self, queue: str, state: str, older_than: float) -> int:
        """How many jobs ``clean`` would remove."""
        key = f"{self._prefix}:{queue}:{checked_state(state)}"
        return int(await self._link.execute("ZCOUNT", key, "-inf", _before(older_than)))

    async def _clean(self, queue: str, state: str, older_than: float) -> Steps:
        changes, pace = JobChanges(self._link, self._prefix, queue), Pace(self._link)
        total, done, before = await self.count_older(queue, state, older_than), 0, _before(older_than)
        yield BulkStep(total=total)
        while removed := await changes.clean_step(state, before, await pace.next_size()):
            done += len(removed)
            pace.took(len(removed))
            yield BulkStep(done=done, total=max(total, done))

    async def _drain(self, queue: str, delayed: bool) -> Steps:
        changes, view = JobChanges(self._link, self._prefix, queue), QueueView(self._link, self._prefix, queue)
        counts, pace = await view.counts(), Pace(self._link)
        sets = ("prioritized", "delayed") if delayed else ("prioritized",)
        done, total = 0, sum(counts[state] for state in ("wait", "paused", *sets))
        yield BulkStep(total=total)
        for state in ("wait", "paused"):
            left = counts[state]
            while left > 0:
                size = min(left, await pace.next_size())
                await changes.drain_step(state, size)
                pace.took(size)
                left, done = left - size, done + size
                yield BulkStep(done=done, total=total)
        for state in sets:
            removed = 1
            while removed and (ids := await self.select(queue, state)):
                async for step in in_batches(self._link, ids, _each(changes.remove)):
                    removed = step.done
                    yield step.model_copy(update={"done": done + removed, "total": max(total, done + removed)})
                done += removed

    async def _one(self, action: str, queue: str, job_id: str, act: Act) -> None:
        jobs = JobView(self._link, self._prefix, queue)
        if await jobs.kind(job_id) != "job":
            raise await self._missing(queue, job_id)
        (problem,) = await act([job_id])
        if problem is not None:
            state = await jobs.state(job_id)
            raise RefusedError(f"{action} of job {job_id} ({state}): {problem}")
        self._record(Change(action=action, queue=queue, target=job_id))

    def _many(self, action: str, queue: str, ids: Sequence[str], act: Act, rate: float | None) -> Steps:
        guarded = only_jobs(JobView(self._link, self._prefix, queue), act)
        target = ids[0] if len(ids) == 1 else f"{len(ids)} jobs"
        return recorded(in_batches(self._link, ids, guarded, rate), self._record, action, queue, target)

    def _retrying(self, queue: str) -> Act:
        changes, jobs = JobChanges(self._link, self._prefix, queue), JobView(self._link, self._prefix, queue)

        dead_letter_queues: list[str] | None = None

        async def one(job_id: str, raw: Mapping[bytes, bytes]) -> str | None:
            letter = await self._letter(raw.get(MARK.encode()), dead_letter_queues or ())
            state = await jobs.finished_as(job_id)
            reply = ELSEWHERE if state is None else await changes.retry(job_id, state, _is_lifo(raw), letter)
            return None if reply == OK else "only failed and completed jobs can be retried"

        async def act(ids: Sequence[str]) -> list[str | None]:
            nonlocal dead_letter_queues
            if dead_letter_queues is None:
                dead_letter_queues = list(await self._dead.queues())
            found = await jobs.rows([job_id.encode() for job_id in ids])
            known = [one(job_id, raw) if raw else _gone() for job_id, raw in zip(ids, found, strict=True)]
            return list(await asyncio.gather(*known))

        return act

    async def _letter(self, mark: bytes | None, queues: Sequence[str]) -> tuple[str, str] | None:
        """The dead-letter queue and the id of the letter a job is marked with, if it is still there."""
        if mark is None:
            return None
        for queue in queues:
            if await self._link.execute("EXISTS", f"{self._prefix}:{queue}:{mark.decode()}"):
                return queue, mark.decode()
        return None


def _each(change: Callable[[str], Awaitable[int]], elsewhere: str = PROBLEMS[ELSEWHERE]) -> Act:
    """``change`` of each; ``elsewhere`` says what is wrong with a job that is not in the state for it."""
    problems = {**PROBLEMS, ELSEWHERE: elsewhere}

    async def act(ids: Sequence[str]) -> list[str | None]:
        replies = await asyncio.gather(*(change(job_id) for job_id in ids))
        return [None if reply == OK else problems.get(reply, f"code {reply}") for reply in replies]

    return act


async def _gone() -> str | None:
    return PROBLEMS[GONE]


def _is_lifo(raw: Mapping[bytes, bytes]) -> bool:
    try:
        opts = decode_json(raw.get(b"opts", b"{}").decode())
    except (ValueError, RecursionError):
        return False
    return isinstance(opts, dict) and is_truthy(opts.get("lifo"))


def _before(older_than: float) -> int:
    return round((time.time() - older_than) * 1000)


def _check(name: str, value: int, most: int) -> None:
    if not 0 <= value <= most:
        raise ConfigurationError(f"{name} must be between 0 and {most}, not {value}")
