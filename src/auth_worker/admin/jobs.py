"""Changes jobs: one, or many in batches."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from auth_worker.admin.bulk import Act, Pace, Steps, in_batches, only_jobs, recorded
from auth_worker.admin.dead_letter_queries import DeadLetterQueries
from auth_worker.admin.errors import RefusedError
from auth_worker.admin.job_queries import JobQueries
from auth_worker.admin.models import BulkStep, Change
from auth_worker.admin.selection import FINISHED, checked_state
from auth_worker.config import Settings
from auth_worker.core.backoff import LONGEST_DELAY
from auth_worker.core.cancellation import check_reason
from auth_worker.core.clock import now_ms
from auth_worker.core.names import check_queue_name
from auth_worker.core.ports.operator import OperatorBroker
from auth_worker.core.ports.producer import NOT_ADDED
from auth_worker.core.ports.values import WAITING, ChangeResult
from auth_worker.errors import BrokerError, ConfigurationError
from auth_worker.queue import MAX_PRIORITY, AddedJob, JobQueue

MOVED = "moved to the dead letters"
"""Why a job has failed that an operator moves there without a reason."""


class JobOperations(JobQueries):
    """Reads and changes the jobs of all queues of ``broker``. Every method may raise ``BrokerError``."""

    def __init__(
        self, broker: OperatorBroker, dead: DeadLetterQueries, record: Callable[[Change], None], settings: Settings
    ) -> None:
        super().__init__(broker)
        self._dead = dead
        self._record = record
        self._settings = settings.model_copy(update={"prefix": broker.prefix})

    async def add(self, queue: str, name: str, data: Any, options: Mapping[str, Any]) -> AddedJob:
        """Add a job as ``JobQueue.add`` does, and return its id and whether it is new.

        Raises ``ConfigurationError``, and ``RefusedError`` if its parent does not exist.
        """
        partitions = await self._broker.partitions_of(queue)
        connection, settings = self._broker.connection, self._settings
        async with JobQueue(queue, connection, settings=settings, partitions=partitions) as producer:
            try:
                job = await producer.add(name, data, **options)
            except BrokerError as error:
                if error.code != NOT_ADDED:
                    raise
                raise RefusedError(str(error)) from error
        if job.created:
            self._record(Change(action="add", queue=queue, target=job))
        return job

    async def retry(self, queue: str, job_id: str) -> None:
        """Let a finished job run again with fresh attempts. Its dead letter is removed in the same step.

        Raises ``NotFoundError``, and ``RefusedError`` for a job in another state.
        """
        await self._one("retry", queue, job_id, self._retrying(queue))

    async def promote(self, queue: str, job_id: str) -> None:
        """Let a delayed job run now. Raises ``NotFoundError`` and ``RefusedError``."""
        changes = self._broker.job_changes(queue)
        await self._one("promote", queue, job_id, _each(changes.promote))

    async def remove(self, queue: str, job_id: str, *, children: bool = False) -> None:
        """Remove a job, and with ``children`` its children. Raises ``NotFoundError`` and ``RefusedError``."""
        changes = self._broker.job_changes(queue)
        await self._one("remove", queue, job_id, _each(lambda one: changes.remove(one, children)))

    async def cancel(self, queue: str, job_id: str, reason: str = "") -> None:
        """Cancel a job that has not finished: it fails at once, or its worker is asked to stop it.

        Raises ``ConfigurationError``, ``NotFoundError`` and ``RefusedError``.
        """
        await self._one("cancel", queue, job_id, self._cancelling(queue, reason))

    async def dead_letter(self, queue: str, job_id: str, to: str = "", reason: str = "") -> None:
        """Move a job that does not run to the dead letters. ``to`` and ``reason`` as in ``dead_letter_many``.

        Raises ``ConfigurationError``, ``NotFoundError`` and ``RefusedError``.
        """
        act = self._dead_lettering(queue, await self.dead_letter_queue(queue, to), reason)
        await self._one("dead-letter", queue, job_id, act)

    async def change(
        self, queue: str, job_id: str, *, priority: int | None = None, delay: int | None = None
    ) -> None:
        """Set the ``priority`` (0: none) of a job that has not finished, and the ``delay`` (ms) of a delayed one.

        Only a delayed job takes a new delay, so that comes first: if it is refused, nothing is changed. Raises
        ``ConfigurationError``, ``NotFoundError`` and ``RefusedError``.
        """
        changes = self._broker.job_changes(queue)
        if priority is not None:
            _check("priority", priority, MAX_PRIORITY)
        if delay is not None:
            _check("delay", delay, LONGEST_DELAY)
            act = _each(lambda one: changes.change_delay(one, delay), "only a delayed job has a delay")
            await self._one("change delay", queue, job_id, act)
        if priority is not None:
            act = _each(lambda one: changes.change_priority(one, priority), "it has finished")
            await self._one("change priority", queue, job_id, act)

    def retry_many(self, queue: str, ids: Sequence[str], rate: float | None = None) -> Steps:
        """Retry these jobs, at most ``rate`` a second. Those that cannot be retried are skipped."""
        return self._many("retry", queue, ids, self._retrying(queue), rate)

    def promote_many(self, queue: str, ids: Sequence[str], rate: float | None = None) -> Steps:
        """Promote these jobs, at most ``rate`` a second. Those that cannot be promoted are skipped."""
        act = _each(self._broker.job_changes(queue).promote)
        return self._many("promote", queue, ids, act, rate)

    def remove_many(self, queue: str, ids: Sequence[str], rate: float | None = None) -> Steps:
        """Remove these jobs, at most ``rate`` a second. Those that cannot be removed are skipped."""
        act = _each(self._broker.job_changes(queue).remove)
        return self._many("remove", queue, ids, act, rate)

    def cancel_many(self, queue: str, ids: Sequence[str], rate: float | None = None, reason: str = "") -> Steps:
        """Cancel these jobs, at most ``rate`` a second. Those that cannot be cancelled are skipped."""
        return self._many("cancel", queue, ids, self._cancelling(queue, reason), rate)

    def dead_letter_many(
        self, queue: str, ids: Sequence[str], rate: float | None = None, *, to: str, reason: str = ""
    ) -> Steps:
        """Fail these jobs for ``reason``, and add their dead letters to ``to``, at most ``rate`` a second.

        Failed jobs get the dead letters that they lack. Jobs that run or are completed are skipped.
        """
        return self._many("dead-letter", queue, ids, self._dead_lettering(queue, to, reason), rate)

    async def dead_letter_queue(self, queue: str, to: str = "") -> str:
        """Return ``to``, or if that is empty the one queue that holds dead letters of ``queue``.

        Raises ``ConfigurationError`` if there is none, or more than one, and for a name that cannot be used.
        """
        if to:
            if check_queue_name("to", to) == queue:
                raise ConfigurationError(f"to is {queue}, the queue of the jobs: name its dead-letter queue")
            return to
        found = await self._dead.queues_from(queue)
        if len(found) != 1:
            which = f"{', '.join(found)} hold" if found else "no queue holds"
            raise ConfigurationError(f"name the dead-letter queue (to): {which} dead letters of {queue}")
        return found[0]

    def drain(self, queue: str, rate: float | None = None, *, delayed: bool = False) -> Steps:
        """Remove all waiting jobs, and with ``delayed`` the delayed ones. Jobs that a scheduler needs stay.

        At most ``rate`` a second.
        """
        return recorded(self._drain(queue, rate, delayed), self._record, "drain", queue, "all")

    def clean(self, queue: str, state: str, older_than: float, rate: float | None = None) -> Steps:
        """Remove the completed or failed jobs that finished more than ``older_than`` s ago.

        At most ``rate`` a second. Raises ``ConfigurationError`` for another state.
        """
        state = checked_state(state)
        if state not in FINISHED:
            raise ConfigurationError(f"clean is for completed and failed jobs: remove those that are {state}")
        return recorded(self._clean(queue, state, older_than, rate), self._record, f"clean {state}", queue, "all")

    async def count_waiting(self, queue: str, *, delayed: bool = False) -> int:
        """Return how many jobs ``drain`` would remove."""
        counts = await self._broker.queue(queue).counts()
        return sum(counts[state] for state in (*WAITING, *(["delayed"] if delayed else [])))

    async def count_older(self, queue: str, state: str, older_than: float) -> int:
        """Return how many jobs ``clean`` would remove."""
        return await self._broker.queue(queue).count_finished_before(checked_state(state), _before(older_than))

    async def _clean(self, queue: str, state: str, older_than: float, rate: float | None) -> Steps:
        changes, pace = self._broker.job_changes(queue), Pace(self._broker, rate)
        total, done, before = await self.count_older(queue, state, older_than), 0, _before(older_than)
        yield BulkStep(total=total)
        while removed := await pace.whole(changes.clean_step(state, before, await pace.next_size())):
            done += removed
            pace.finished(removed)
            yield BulkStep(done=done, total=max(total, done))

    async def _drain(self, queue: str, rate: float | None, delayed: bool) -> Steps:
        changes, view = self._broker.job_changes(queue), self._broker.queue(queue)
        counts, pace = await view.counts(), Pace(self._broker, rate)
        sets = ("prioritized", "delayed") if delayed else ("prioritized",)
        done, total = 0, sum(counts[state] for state in ("wait", "paused", *sets))
        yield BulkStep(total=total)
        for state in ("wait", "paused"):
            left = counts[state]
            while left > 0:
                size = min(left, await pace.next_size())
                await pace.whole(changes.drain_step(state, size))
                pace.finished(size)
                left, done = left - size, done + size
                yield BulkStep(done=done, total=total)
        for state in sets:
            removed = 1
            while removed and (ids := await self.select(queue, state)):
                async for step in in_batches(self._broker, ids, _each(changes.remove), rate):
                    removed = step.done
                    yield step.model_copy(update={"done": done + removed, "total": max(total, done + removed)})
                done += removed

    async def _one(self, action: str, queue: str, job_id: str, act: Act) -> None:
        jobs = self._broker.jobs(queue)
        if await jobs.kind(job_id) != "job":
            raise await self._missing(queue, job_id)
        (problem,) = await act([job_id])
        if problem is not None:
            state = await jobs.state(job_id)
            raise RefusedError(f"{action} of job {job_id} ({state}): {problem}")
        self._record(Change(action=action, queue=queue, target=job_id))

    def _many(self, action: str, queue: str, ids: Sequence[str], act: Act, rate: float | None) -> Steps:
        guarded = only_jobs(self._broker.jobs(queue), act)
        target = ids[0] if len(ids) == 1 else f"{len(ids)} jobs"
        return recorded(in_batches(self._broker, ids, guarded, rate), self._record, action, queue, target)

    def _cancelling(self, queue: str, reason: str) -> Act:
        changes, reason = self._broker.job_changes(queue), check_reason(reason)
        return _each(lambda one: changes.cancel(one, reason), "it has finished")

    def _dead_lettering(self, queue: str, to: str, reason: str) -> Act:
        changes, reason = self._broker.job_changes(queue), check_reason(reason) or MOVED
        return _each(lambda one: changes.dead_letter(one, to, reason), "it is completed")

    def _retrying(self, queue: str) -> Act:
        changes = self._broker.job_changes(queue)
        dead_letter_queues: list[str] | None = None

        async def act(ids: Sequence[str]) -> list[str | None]:
            nonlocal dead_letter_queues
            if dead_letter_queues is None:
                dead_letter_queues = list(await self._dead.queues())
            results = await changes.retry(ids, dead_letter_queues)
            return [_problem(result, "only failed and completed jobs can be retried") for result in results]

        return act


def _each(change: Callable[[str], Awaitable[ChangeResult]], wrong_state: str = "") -> Act:
    """Return an ``Act`` that applies ``change`` to each job. ``wrong_state`` is the message for a wrong state."""

    async def act(ids: Sequence[str]) -> list[str | None]:
        results = await asyncio.gather(*(change(job_id) for job_id in ids))
        return [_problem(result, wrong_state) for result in results]

    return act


def _problem(result: ChangeResult, wrong_state: str) -> str | None:
    if result in (ChangeResult.DONE, ChangeResult.REQUESTED):
        return None
    return wrong_state if wrong_state and result is ChangeResult.WRONG_STATE else result.value


def _before(older_than: float) -> int:
    return round(now_ms() - older_than * 1000)


def _check(name: str, value: int, most: int) -> None:
    if not 0 <= value <= most:
        raise ConfigurationError(f"{name} must be between 0 and {most}, not {value}")
