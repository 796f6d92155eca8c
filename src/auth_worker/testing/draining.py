"""Runs the jobs of a ``JobStore``, one after another, with the consumers of an application."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Any, NamedTuple, Self

from auth_worker.config import Settings, WorkerConfig
from auth_worker.core.decisions import decide_deferred_failure
from auth_worker.core.outcome import Cause, Outcome
from auth_worker.core.policy import JobPolicy
from auth_worker.core.run import Run
from auth_worker.engine.executors import Executor, close_executor, executor_for, started
from auth_worker.errors import Steering
from auth_worker.job import Job
from auth_worker.processor import QueueProcessorService
from auth_worker.service import WorkerService
from auth_worker.tasks import TaskQueue
from auth_worker.tasks.executor import TaskExecutor
from auth_worker.tasks.queue import TaskConsumer
from auth_worker.testing.running import StoredActions, run_job
from auth_worker.testing.schedulers import Schedulers
from auth_worker.testing.store import JobStore
from auth_worker.testing.stored_jobs import MemoryJob

MOST_RUNS = 1000
MOST_AT_ONCE = 100
"""How many jobs may run at a time: each but the last awaits the result of another."""
JobRunner = TaskQueue | QueueProcessorService | WorkerService
"""What runs jobs: a queue of tasks, a processor, or a service with several of them."""


class Worker(NamedTuple):
    """Runs the jobs of one queue. ``executor`` is not started yet; ``timeout`` is in s."""

    executor: Executor
    config: WorkerConfig
    dead_letter_queue: str | None
    timeout: float | None
    max_result_bytes: int


class Drainer:
    """Runs jobs of ``store`` with ``runners``, in the event loop in which it is created.

    The resources of a queue's consumer are opened for its first job, and closed at the end of the block.
    """

    def __init__(self, store: JobStore, schedulers: Schedulers, runners: Iterable[JobRunner]) -> None:
        self._store = store
        self._schedulers = schedulers
        self._workers = {queue: worker for each in runners for queue, worker in _workers_of(each).items()}
        if not self._workers:
            raise TypeError("name what runs the jobs: a TaskQueue, or a service with processors")
        self._exits = contextlib.AsyncExitStack()
        self._open: set[str] = set()
        self.loop = asyncio.get_running_loop()
        self._waiters: list[concurrent.futures.Future[None]] = []
        self.ran: list[MemoryJob] = []
        """The jobs in the order of their runs."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._exits.aclose()

    async def run_due(self, most: int) -> None:
        """Run the jobs that are due, and those that they enqueue. Raises ``RuntimeError`` after ``most`` runs."""
        while (job := self._store.take(self._workers)) is not None:
            if len(self.ran) >= most:
                self._store.let_wait(job, front=True)
                raise RuntimeError(
                    f"more than {most} jobs ran, the last of them {job.name} of queue {job.queue}: does a task "
                    "enqueue itself forever? Else drain(..., most=...)"
                )
            await self._run(job)

    async def run_all(self, most: int) -> None:
        """As ``run_due``, but also move the clock to delayed jobs, until only those of job schedulers are left."""
        await self.run_due(most)
        while (due := self._store.next_due(self._workers)) is not None:
            self._store.clock.now = max(due, self._store.clock.now)
            await self.run_due(most)

    async def run_this(self, job: MemoryJob) -> None:
        """Run ``job`` if it is due, since another one awaits its result."""
        if job.queue in self._workers and self._store.take_this(job):
            await self._run(job)

    def when_finished(self) -> concurrent.futures.Future[None]:
        """Return a future that is set once this drainer runs no more jobs."""
        future: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._waiters.append(future)
        return future

    def finish(self) -> None:
        """Set the futures of ``when_finished``."""
        for future in self._waiters:
            with contextlib.suppress(concurrent.futures.InvalidStateError):  # its waiter has given up
                future.set_result(None)

    def errors(self) -> list[BaseException]:
        """Return the errors of the jobs that have not completed, each with a note that names its job."""
        found = []
        for job in dict.fromkeys(self.ran):
            error = job.error
            if error is not None and job.state != "completed" and not isinstance(error, Steering):
                note = f"raised by job {job.id}, {job.name} of queue {job.queue}, attempt {job.attempts_made}"
                if note not in getattr(error, "__notes__", ()):
                    error.add_note(note)
                found.append(error)
        return found

    async def _run(self, stored: MemoryJob) -> None:
        self.ran.append(stored)
        worker = await self._started(stored)
        policy = JobPolicy(stored.opts, worker.config)
        job = _job_of(stored, policy)
        if stored.scheduler_id:
            self._schedulers.advance(stored)
        if stored.deferred_failure is not None:
            self._settle(stored, job, policy, decide_deferred_failure(stored.deferred_failure))
            return

        def start(run: Run) -> None:
            stored.cancel = lambda reason: _cancel(run, reason, self.loop)

        try:
            run, outcome = await run_job(
                job,
                policy,
                worker.executor,
                timeout=worker.timeout,
                max_result_bytes=worker.max_result_bytes,
                on_start=start,
            )
        except asyncio.CancelledError:
            self._store.let_wait(stored, front=True)
            raise
        finally:
            stored.cancel = None
        stored.error = run.error
        self._settle(stored, job, run.policy, outcome)

    async def _started(self, stored: MemoryJob) -> Worker:
        """Return the worker of a job, started. If that raises ``ConfigurationError``, the job waits again."""
        worker = self._workers[stored.queue]
        if stored.queue not in self._open:
            try:
                await self._exits.enter_async_context(_working(worker.executor))
            except BaseException:
                self._store.let_wait(stored, front=True)
                raise
            self._open.add(stored.queue)
        return worker

    def _settle(self, stored: MemoryJob, job: Job, policy: JobPolicy, outcome: Outcome) -> None:
        letter = self._store.settle(stored, job, policy, outcome)
        worker = self._workers[stored.queue]
        if letter is None:
            return
        reason_class = letter.data["reasonClass"]
        queue = worker.config.dead_letter_queue(stored.name, reason_class, worker.dead_letter_queue)
        if queue is not None:
            self._store.add_dead_letter(letter, queue)


@contextlib.asynccontextmanager
async def _working(executor: Executor) -> AsyncIterator[None]:
    async with started(executor):
        yield
    await close_executor(executor)


def _cancel(run: Run, reason: str, loop: asyncio.AbstractEventLoop) -> None:
    loop.call_soon_threadsafe(run.cancel, Cause.CANCELLED, reason)


def _job_of(stored: MemoryJob, policy: JobPolicy) -> Job:
    parent = stored.parent
    return Job(
        id=stored.id,
        name=stored.name,
        data=stored.decoded,
        opts=dict(stored.opts),
        queue_name=stored.queue,
        attempt=stored.attempts_made + 1,
        max_attempts=policy.attempts,
        timestamp=stored.timestamp,
        priority=stored.priority,
        progress=0 if stored.progress is None else stored.progress,
        parent=None if parent is None else {"id": parent.id, "queueKey": parent.key.removesuffix(f":{parent.id}")},
        actions=StoredActions(stored),
    )


def _worker(consumer: Any, config: WorkerConfig, dead_letter_queue: str | None) -> Worker:
    timeout = config.timeout / 1000 if config.timeout else None
    if isinstance(consumer, TaskConsumer):
        executor: Executor = TaskExecutor(consumer.queue, MOST_AT_ONCE, isolated=False)
    else:
        executor = executor_for(consumer, "auto", MOST_AT_ONCE)
    return Worker(executor, config, dead_letter_queue, timeout, Settings().max_result_bytes)


def _workers_of(runner: JobRunner) -> dict[str, Worker]:
    match runner:
        case TaskQueue():
            given = runner.registration()
            return {
                runner.name: _worker(given["processor"], given["worker_config"], runner.dead_letter_queue_name)
            }
        case QueueProcessorService():
            return {runner.queue_name: _worker(runner.consumer, runner.config, runner.dead_letter_queue_name)}
        case WorkerService():
            return {name: each for one in runner.get_processors() for name, each in _workers_of(one).items()}
    raise TypeError(f"jobs are run by a TaskQueue or a service, not by {runner!r:.80}")
