"""MemoryBroker: takes the place of Redis in a test."""

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
from auth_worker.testing.draining import MOST_RUNS, Drainer, Works
from auth_worker.testing.flows import MemoryFlows
from auth_worker.testing.matching import Expected
from auth_worker.testing.producers import MemoryProducer
from auth_worker.testing.schedulers import Schedulers
from auth_worker.testing.store import JobStore
from auth_worker.testing.stored_jobs import MemoryJob

PREFIX = "bull"


class MemoryBroker:
    """Holds the jobs of a test in memory, while its ``with`` block runs; the fixture ``jobs`` is one.

    Every ``TaskQueue``, ``JobQueue`` and ``FlowProducer`` of the process, whenever and for whatever connection it
    was made, adds its jobs here, from any thread and event loop. Options and data are checked and go through JSON
    as for Redis. Queues are told by their names alone.
    """

    in_memory = True

    def __init__(self) -> None:
        self.clock = Clock()
        self._store = JobStore(self.clock, PREFIX)
        self._schedulers = Schedulers(self._store)
        self._exits = contextlib.ExitStack()
        self._drainer: Drainer | None = None
        self._inline: Sequence[Works] | None = None
        self._errors: list[BaseException] = []

    def __enter__(self) -> Self:
        self._exits.enter_context(redirect(self))
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._exits.close()

    def enqueued(self, kind: Enqueuer[..., Any] | str | None = None, /, **values: Any) -> list[JobInfo]:
        """Return the jobs that were added, in order, whatever became of them; see ``assert_enqueued``."""
        jobs = [job.info for job in self._store.added]
        return jobs if kind is None else Expected(kind, values).among(jobs)

    def assert_enqueued(self, kind: Enqueuer[..., Any] | str, /, **values: Any) -> JobInfo:
        """Return the first job of a task with these ``values`` among its arguments.

        ``kind`` is a task, ``task.options(...)`` for a job with those options, or the name of a job, whose
        ``values`` are fields of its data. A value may be anything that has ``==``, such as ``unittest.mock.ANY``.
        Raises ``AssertionError``, which lists what was enqueued, where there is no such job.
        """
        expected = Expected(kind, values)
        jobs = self.enqueued()
        found = expected.among(jobs)
        if not found:
            raise AssertionError(f"no {expected} was enqueued; {expected.report(jobs)}")
        return found[0]

    def assert_not_enqueued(self, kind: Enqueuer[..., Any] | str | None = None, /, **values: Any) -> None:
        """Raise ``AssertionError`` where such a job, or without arguments any job, was added."""
        found = self.enqueued(kind, **values)
        if found:
            expected = Expected(found[0].name if kind is None else kind, values)
            what = "a job" if kind is None else f"a {expected}"
            raise AssertionError(f"{what} was enqueued; {expected.report(found)}")

    async def drain(
        self, *works: Works, with_delayed: bool = False, raise_errors: bool = True, most: int = MOST_RUNS
    ) -> list[JobInfo]:
        """Run the jobs that are due, and those that they enqueue, one after another; return them as they are then.

        ``works`` are what runs them: a ``TaskQueue``, or a ``WorkerService`` with all its processors. Jobs of
        other queues stay. What fails is tried again after its backoff, and dead-lettered, as by a worker.
        ``with_delayed`` moves the clock to what is delayed, retries too, until nothing is left; schedulers go on
        when you move the clock.

        Raises what jobs raised that have not completed by then, several as an ``ExceptionGroup``, unless
        ``raise_errors`` is False; and ``RuntimeError`` after ``most`` runs.
        """
        drainer = self._begin(works)
        if drainer is None:
            raise RuntimeError("these jobs are being drained already")
        await self._drain(drainer, most, with_delayed=with_delayed)
        if raise_errors:
            _raise(drainer.errors())
        return [job.info for job in dict.fromkeys(drainer.ran)]

    def drain_sync(
        self, *works: Works, with_delayed: bool = False, raise_errors: bool = True, most: int = MOST_RUNS
    ) -> list[JobInfo]:
        """As ``drain``, for a test without an event loop."""
        return asyncio.run(self.drain(*works, with_delayed=with_delayed, raise_errors=raise_errors, most=most))

    @contextlib.contextmanager
    def inline(self, *works: Works, raise_errors: bool = True) -> Iterator[None]:
        """In this block, run each job before ``enqueue`` returns, as ``drain`` would; ``works`` are as there.

        Whoever enqueues gets no error of a job, as in production. What failed is raised at the end of the block,
        unless ``raise_errors`` is False. What is delayed, a retry too, waits for ``drain``.
        """
        self._inline, self._errors = works, []
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

    def _begin(self, works: Sequence[Works]) -> Drainer | None:
        """Return what runs jobs now; None while another one does, which is told by ``self._drainer``."""
        drainer = Drainer(self._store, self._schedulers, works)
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
        """Inline, run what is due; what a job enqueues is run after that job."""
        if self._inline is None or current_run.get() is not None:
            return
        while (drainer := self._begin(self._inline)) is None:
            with self._store.lock:
                end = None if self._drainer is None else self._drainer.end()
            if end is not None:  # another thread's or task's, which most likely runs this job too
                await asyncio.wrap_future(end)
        await self._drain(drainer, MOST_RUNS, with_delayed=False)
        self._errors += drainer.errors()

    async def _on_wait(self, job: MemoryJob) -> None:
        """A job that waits for another one would wait forever: jobs are run one at a time."""
        drainer = self._drainer
        if drainer is None and self._inline is not None and not job.is_finished:
            raise TimeoutError(
                f"job {job.id} of queue {job.queue} is {job.state}: inline, only what is due has run; move "
                "the clock and drain"
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
