"""MemoryBroker: replaces Redis in a test."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

from auth_worker.brokers.opening import redirect
from auth_worker.config import Settings
from auth_worker.core.job_info import JobInfo
from auth_worker.core.run import current_run
from auth_worker.tasks import Enqueuer
from auth_worker.testing.clock import Clock
from auth_worker.testing.draining import MOST_RUNS, Drainer, JobRunner
from auth_worker.testing.flows import MemoryFlows
from auth_worker.testing.matching import Expected
from auth_worker.testing.producers import MemoryProducer
from auth_worker.testing.schedulers import Schedulers
from auth_worker.testing.store import JobStore
from auth_worker.testing.stored_jobs import MemoryJob

PREFIX = "bull"


class MemoryBroker:
    """Holds the jobs of a test in memory, while its ``with`` block runs; the fixture ``jobs`` is one.

    Every ``TaskQueue``, ``JobQueue`` and ``FlowProducer`` of the process, whenever it was created and for whatever
    connection, adds its jobs here, from any thread and event loop. Options and data are checked and converted to
    JSON as for Redis. Queues of the same name are one queue.
    """

    in_memory = True

    def __init__(self) -> None:
        self.clock = Clock()
        self._store = JobStore(self.clock, PREFIX)
        self._schedulers = Schedulers(self._store)
        self._exits = contextlib.ExitStack()
        self._drainer: Drainer | None = None
        self._inline: Sequence[JobRunner] | None = None
        self._errors: list[BaseException] = []

    def __enter__(self) -> Self:
        self._exits.enter_context(redirect(self))
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._exits.close()

    def enqueued(self, kind: Enqueuer[..., Any] | str | None = None, /, **values: Any) -> list[JobInfo]:
        """Return the jobs that were added, in order, in any state. Arguments are as in ``assert_enqueued``."""
        jobs = [job.info for job in self._store.added]
        return jobs if kind is None else Expected(kind, values).among(jobs)

    def assert_enqueued(self, kind: Enqueuer[..., Any] | str, /, **values: Any) -> JobInfo:
        """Return the first job of a task with these ``values`` among its arguments.

        ``kind`` is a task, ``task.options(...)`` for a job with those options, or the name of a job, whose
        ``values`` are fields of its data. A value may be anything that has ``==``, such as ``unittest.mock.ANY``.
        If there is no such job, raises an ``AssertionError`` that lists what was enqueued.
        """
        expected = Expected(kind, values)
        jobs = self.enqueued()
        found = expected.among(jobs)
        if not found:
            raise AssertionError(f"no {expected} was enqueued; {expected.report(jobs)}")
        return found[0]

    def assert_not_enqueued(self, kind: Enqueuer[..., Any] | str | None = None, /, **values: Any) -> None:
        """Raise ``AssertionError`` if such a job, or without arguments any job, was added."""
        found = self.enqueued(kind, **values)
        if found:
            expected = Expected(found[0].name if kind is None else kind, values)
            what = "a job" if kind is None else f"a {expected}"
            raise AssertionError(f"{what} was enqueued; {expected.report(found)}")

    async def drain(
        self, *runners: JobRunner, with_delayed: bool = False, raise_errors: bool = True, most: int = MOST_RUNS
    ) -> list[JobInfo]:
        """Run the jobs that are due, and those that they enqueue, one after another. Returns them afterwards.

        ``runners`` run them: a ``TaskQueue``, or a ``WorkerService`` with all its processors. Jobs of other queues
        stay. As with a worker, a failed job is retried after its backoff, and leaves a dead letter in the end.
        ``with_delayed`` moves the clock to delayed jobs and retries until none is left; job schedulers add their
        next jobs when you move the clock.

        Raises the errors of jobs that have not completed by then, several as an ``ExceptionGroup``, unless
        ``raise_errors`` is False; and ``RuntimeError`` after ``most`` runs.
        """
        drainer = self._begin(runners)
        if drainer is None:
            raise RuntimeError("these jobs are being drained already")
        await self._drain(drainer, most, with_delayed=with_delayed)
        if raise_errors:
            _raise(drainer.errors())
        return [job.info for job in dict.fromkeys(drainer.ran)]

    def drain_sync(
        self, *runners: JobRunner, with_delayed: bool = False, raise_errors: bool = True, most: int = MOST_RUNS
    ) -> list[JobInfo]:
        """As ``drain``, for a test without an event loop."""
        return asyncio.run(self.drain(*runners, with_delayed=with_delayed, raise_errors=raise_errors, most=most))

    @contextlib.contextmanager
    def inline(self, *runners: JobRunner, raise_errors: bool = True) -> Iterator[None]:
        """In this block, run each job before ``enqueue`` returns, as ``drain`` would; ``runners`` are as there.

        As in production, ``enqueue`` does not raise the errors of jobs. They are raised at the end of the block,
        unless ``raise_errors`` is False. Delayed jobs and retries wait for ``drain``.
        """
        self._inline, self._errors = runners, []
        try:
            yield
        finally:
            self._inline = None
        if raise_errors:
            _raise(self._errors)

    def logs(self, job: JobInfo) -> list[str]:
        """Return what a job has logged with ``job.log``."""
        return next(
            list(each.logs) for each in self._store.added if (each.queue, each.id) == (job.queue_name, job.id)
        )

    def producer(
        self, queue: str, settings: Settings, defaults: Mapping[str, Any], timeout: float
    ) -> MemoryProducer:
        """As in ``Redirection``."""
        return MemoryProducer(
            self._store, self._schedulers, queue, settings, defaults, self._after_add, self._on_wait
        )

    def flows(self, settings: Settings, timeout: float) -> MemoryFlows:
        """As in ``Redirection``."""
        return MemoryFlows(self._store, settings, self._after_add)

    def _begin(self, runners: Sequence[JobRunner]) -> Drainer | None:
        """Return a drainer that may run jobs now; None while another one, ``self._drainer``, does."""
        drainer = Drainer(self._store, self._schedulers, runners)
        with self._store.lock:
            if self._drainer is not None:
                return None
            self._drainer = drainer
            return drainer

    async def _drain(self, drainer: Drainer, most: int, *, with_delayed: bool) -> None:
        try:
            async with drainer:
                await (drainer.run_all(most) if with_delayed else drainer.run_due(most))
        finally:
            with self._store.lock:
                self._drainer = None
                drainer.finish()

    async def _after_add(self) -> None:
        """In an ``inline`` block, run the jobs that are due. What a job enqueues is run after that job."""
        if self._inline is None or current_run.get() is not None:
            return
        while (drainer := self._begin(self._inline)) is None:
            with self._store.lock:
                finished = None if self._drainer is None else self._drainer.when_finished()
            if finished is not None:  # that of another thread or task, which most likely runs this job too
                await asyncio.wrap_future(finished)
        await self._drain(drainer, MOST_RUNS, with_delayed=False)
        self._errors += drainer.errors()

    async def _on_wait(self, job: MemoryJob) -> None:
        """Run ``job`` for another one that awaits its result: jobs run one at a time, so it would wait forever."""
        drainer = self._drainer
        if drainer is None and self._inline is not None and not job.is_finished:
            raise TimeoutError(
                f"job {job.id} of queue {job.queue} is {job.state}: inline, only jobs that are due have "
                "run; move the clock and drain"
            )
        if drainer is None or current_run.get() is None:
            return
        running = drainer.run_this(job)
        if asyncio.get_running_loop() is drainer.loop:
            await running
        else:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(running, drainer.loop))


def _raise(errors: Sequence[BaseException]) -> None:
    if len(errors) > 1:
        raise BaseExceptionGroup(f"{len(errors)} jobs failed", errors)
    if errors:
        raise errors[0]
