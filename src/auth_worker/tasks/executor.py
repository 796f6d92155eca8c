"""TaskExecutor: runs the jobs of a TaskQueue, each by calling its task."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from auth_worker.core.backoff import NO_RETRY
from auth_worker.core.decisions import error_to_report
from auth_worker.core.exception_groups import deciding_error
from auth_worker.core.policy import JobPolicy
from auth_worker.core.run import Run, current_run
from auth_worker.core.worker_config import WorkerConfig
from auth_worker.engine.executors import ProcessExecutor, ThreadExecutor
from auth_worker.engine.executors.process_setup import check_importable
from auth_worker.engine.perform import Deadline
from auth_worker.errors import ConfigurationError, Steering
from auth_worker.job import Job
from auth_worker.tasks.handlers import async_handler, check_resources, sync_handler, unknown_task
from auth_worker.tasks.options import BackoffFunction
from auth_worker.tasks.queue import TaskQueue
from auth_worker.tasks.resources import OpenResources, needed_resources
from auth_worker.tasks.task import AnyTask

Handler = Callable[[Job], Awaitable[Any]]
MOST_POLICIES = 1000
"""How many merged policies of a task are kept."""


class TaskExecutor:
    """Runs async tasks on the event loop, the others in at most ``concurrency`` threads or worker processes.

    ``tasks`` are those of the queue to run (None: all). Unless ``isolated``, no task runs in a worker process.
    ``given`` are resources by type that are open already. Raises ``ConfigurationError`` for a queue without
    tasks, and for a task that cannot run, naming it.
    """

    def __init__(
        self,
        queue: TaskQueue,
        concurrency: int,
        *,
        tasks: Sequence[AnyTask] | None = None,
        isolated: bool = True,
        given: Mapping[Any, Any] | None = None,
    ) -> None:
        tasks = list(queue.tasks.values()) if tasks is None else tasks
        given = given or {}
        if not tasks:
            raise ConfigurationError(
                f"queue {queue.name} has no tasks: import the module that defines them before service.include"
            )
        for task in tasks:
            check_resources(task, given)
        in_processes = [task for task in tasks if task.policy.execution == "process"]
        for task in in_processes:
            check_importable(task)
        in_processes = in_processes if isolated else []
        self._config = queue.worker_config
        self._in_process = [task for task in tasks if task not in in_processes]
        self._resources = OpenResources(needed_resources(self._in_process), given)
        self._handlers: dict[str, Handler] = {}
        self._sync_handlers: dict[str, Callable[[Job], Any]] = {}
        self._threads = ThreadExecutor(self._run_sync, concurrency)
        self._processes: ProcessExecutor | None = None
        self.isolates = not self._in_process
        if in_processes:
            from auth_worker.tasks.process_consumer import ProcessConsumer

            self._processes = ProcessExecutor(ProcessConsumer(in_processes), concurrency)
            for task in in_processes:
                self._add(task, self._processes)

    def warm_up(self) -> None:
        """Begin to start worker processes, if any task needs them."""
        if self._processes is not None:
            self._processes.warm_up()

    def limit_results(self, max_bytes: int) -> None:
        """As in ``StartsSlowly``."""
        if self._processes is not None:
            self._processes.limit_results(max_bytes)

    def report_failed_starts_to(self, report: Callable[[str], None]) -> None:
        """As in ``StartsSlowly``."""
        if self._processes is not None:
            self._processes.report_failed_starts_to(report)

    async def start(self) -> None:
        """Open the resources, and start the first worker process. Raises ``ConfigurationError``."""
        await self._resources.open()
        if self._processes is not None:
            await self._processes.start()
        for task in self._in_process:
            if task.is_async:
                self._add(task, async_handler(task, self._resources.values))
            else:
                self._sync_handlers[task.name] = sync_handler(task, self._resources.values)
                self._add(task, self._threads)

    def __call__(self, job: Job) -> Awaitable[Any]:
        """Run the task that the job names. Raises ``UnknownJobTypeError``."""
        handler = self._handlers.get(job.name)
        if handler is None:
            raise unknown_task(job.name)
        return handler(job)

    def report_to(self, report: Callable[[str, str], None]) -> None:
        """As in ``HoldsResources``. Of a worker process it is known after a job, and the process is replaced."""
        self._resources.report = report
        if self._processes is not None:
            self._processes.report = report

    async def release(self) -> str | None:
        """Close the resources, those of worker processes too. Returns what went wrong, if anything did."""
        if self._processes is not None:
            await self._processes.retire()
        return await self._resources.close()

    def close(self) -> None:
        """End the threads and processes without waiting for their jobs."""
        self._threads.close()
        if self._processes is not None:
            self._processes.close()

    def _run_sync(self, job: Job) -> Any:
        return self._sync_handlers[job.name](job)

    def _add(self, task: AnyTask, handler: Handler) -> None:
        policy = task.policy
        timeout = policy.timeout
        if timeout is None and self._config.timeout is not None:
            timeout = self._config.timeout / 1000
        if policy.backoff is not None:
            handler = _with_backoff(handler, policy.backoff)
        if timeout is not None:
            handler = _with_timeout(handler, timeout)
        if policy.wire:
            handler = _with_policy(handler, policy.wire, self._config)
        self._handlers[task.name] = handler


def _with_timeout(handler: Handler, timeout: float) -> Handler:
    """Cancel the run after ``timeout`` s."""

    async def handle(job: Job) -> Any:
        run = _current()
        if run is None:
            return await handler(job)
        deadline = Deadline(run, timeout)
        try:
            return await handler(job)
        finally:
            deadline.close()

    return handle


def _with_policy(handler: Handler, options: dict[str, Any], config: WorkerConfig) -> Handler:
    """Apply the task's ``options`` to jobs that do not set their own, such as those of other producers."""
    policies: dict[JobPolicy, JobPolicy] = {}

    def handle(job: Job) -> Awaitable[Any]:
        run = _current()
        if run is not None:
            policy = policies.get(run.policy)
            if policy is None:
                if len(policies) >= MOST_POLICIES:
                    policies.clear()
                policy = policies[run.policy] = JobPolicy(_merged(options, job), config)
            run.policy = policy
            job.max_attempts = policy.attempts
        return handler(job)

    return handle


def _merged(options: dict[str, Any], job: Job) -> dict[str, Any]:
    """Return the task's options updated with the job's. If it sets attempts, the task's backoff does not apply."""
    own = {name: value for name, value in job.opts.items() if value is not None}
    if not own.get("attempts"):
        own.pop("attempts", None)
        return {**options, **own}
    return {**options, "backoff": None, **own}


def _with_backoff(handler: Handler, backoff: BackoffFunction) -> Handler:
    """Ask the task's function for the delay before the next attempt."""

    async def handle(job: Job) -> Any:
        try:
            return await handler(job)
        except BaseException as error:
            run = _current()
            if run is not None:
                raised = deciding_error(error_to_report(error, run.cause), job.data)
                if not isinstance(raised, Steering | asyncio.CancelledError):
                    run.policy = copy.copy(run.policy)
                    run.policy.wire = {}
                    run.policy.backoff = _delay_of(backoff, job.attempt, raised)
            raise

    return handle


def _delay_of(backoff: BackoffFunction, attempt: int, error: BaseException) -> Any:
    """Return the delay in ms, or ``NO_RETRY``. One that cannot be read is replaced by the queue's backoff."""
    try:
        delay = backoff(attempt, error)
    except Exception as raised:
        return {"type": f"a function that raised {type(raised).__name__}"}
    if isinstance(delay, timedelta):
        delay = delay.total_seconds() * 1000
    if delay is None:
        return NO_RETRY
    if isinstance(delay, bool) or not isinstance(delay, int | float) or not 0 <= delay < float("inf"):
        return {"type": f"a function that returned no delay ({type(delay).__name__})"}
    return round(delay)


def _current() -> Run | None:
    run = current_run.get()
    return run if isinstance(run, Run) else None
