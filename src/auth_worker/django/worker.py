"""The worker of Django's tasks: a service that runs them as jobs."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from inspect import iscoroutinefunction
from itertools import chain
from typing import Any

from asgiref.sync import sync_to_async
from django.db import close_old_connections

from auth_worker.config import Settings
from auth_worker.django.backend import AuthWorkerBackend
from auth_worker.django.framework import (
    TaskContext,
    TaskError,
    TaskResult,
    TaskResultStatus,
    normalize_json,
    signals,
    task_backends,
)
from auth_worker.django.results import is_task, moment
from auth_worker.errors import ConfigurationError, Steering, UnrecoverableError
from auth_worker.job import Job
from auth_worker.service import WorkerService
from auth_worker.tasks import TaskQueue


def make_service(
    alias: str = "default", *, queues: Iterable[str] = (), settings: Settings | None = None
) -> WorkerService:
    """Return a service that works ``queues`` of the backend ``alias``, by default all.

    Raises ``ConfigurationError`` if there are no queues or tasks, or the backend is of another kind.
    """
    backend = task_backends[alias]
    if not isinstance(backend, AuthWorkerBackend):
        raise ConfigurationError(f"TASKS[{alias!r}] is a {type(backend).__name__}: it has a worker of its own")
    unknown = sorted(set(queues) - backend.queues)
    if unknown or not backend.queues:
        what = f"has no queue {unknown[0]}" if unknown else "names no queues: set QUEUES"
        raise ConfigurationError(f"TASKS[{alias!r}] {what}")
    service = WorkerService(backend.settings.redis_url, settings=settings)
    for name in sorted(set(queues) or backend.queues):
        service.include(task_queue(backend, name))
    return service


def task_queue(backend: AuthWorkerBackend, name: str) -> TaskQueue:
    """Return the queue ``name`` with all tasks that its jobs may call. Raises ``ConfigurationError``."""
    options = backend.settings
    queue = TaskQueue(
        name,
        options.redis_url,
        worker_config=options.worker_config,
        dead_letter_queue_name=options.dead_letter_queue_name,
    )
    tasks = {each.module_path: each for each in _tasks() if each.backend == backend.alias}
    if not tasks:
        raise ConfigurationError(
            f"there are no tasks for TASKS[{backend.alias!r}]: define them in the module tasks of an installed "
            'application, and add "auth_worker.django" to INSTALLED_APPS'
        )
    for path, task in tasks.items():
        make = _async_consumer if iscoroutinefunction(task.func) else _consumer
        queue.task(name=path, attempts=options.attempts)(make(_Runs(backend, task.using(queue_name=name))))
    return queue


def _tasks() -> list[Any]:
    """Return the tasks of all loaded modules."""
    values = [list(getattr(module, "__dict__", {}).values()) for module in list(sys.modules.values())]
    return [each for each in chain(*values) if is_task(each)]


class _Runs:
    """Prepares the calls of one task, and keeps Django's ``TaskResult`` of each run."""

    def __init__(self, backend: AuthWorkerBackend, task: Any) -> None:
        self.function: Callable[..., Any] = task.func
        self._backend = backend
        self._task = task

    def begin(self, job: Job, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Return the ``TaskResult`` of a run that has begun."""
        now = datetime.now(UTC)
        return TaskResult(
            task=self._task,
            id=job.id,
            status=TaskResultStatus.RUNNING,
            enqueued_at=moment(job.timestamp),
            started_at=now,
            finished_at=None,
            last_attempted_at=now,
            args=args,
            kwargs=kwargs,
            backend=self._backend.alias,
            errors=[],
            worker_ids=[""] * job.attempt,
        )

    def arguments(self, result: Any) -> list[Any]:
        """Return the positional arguments of the call."""
        return [TaskContext(task_result=result), *result.args] if self._task.takes_context else result.args

    def complete(self, result: Any, value: Any) -> Any:
        """Record the returned value, and return it as JSON. Raises what Django raises for other values."""
        value = normalize_json(value)
        object.__setattr__(result, "_return_value", value)
        _end(result, TaskResultStatus.SUCCESSFUL)
        return value

    def fail(self, result: Any, job: Job, error: Exception) -> bool:
        """Record the error, and return whether the task has failed for good."""
        kind = type(error)
        path = f"{kind.__module__}.{kind.__qualname__}"
        text = "".join(traceback.format_exception(error))
        result.errors.append(TaskError(exception_class_path=path, traceback=text))
        is_last = job.attempt >= job.max_attempts or isinstance(error, UnrecoverableError)
        if not is_last or isinstance(error, Steering):
            return False
        _end(result, TaskResultStatus.FAILED)
        return True

    def send(self, signal: Any, result: Any) -> None:
        """Send a signal to Django's receivers, whose errors are ignored."""
        signal.send_robust(type(self._backend), task_result=result)

    async def asend(self, signal: Any, result: Any) -> None:
        """As ``send``."""
        await signal.asend_robust(type(self._backend), task_result=result)


def _end(result: Any, status: Any) -> None:
    object.__setattr__(result, "finished_at", datetime.now(UTC))
    object.__setattr__(result, "status", status)


def _consumer(runs: _Runs) -> Callable[..., Any]:
    def run(job: Job, args: list[Any], kwargs: dict[str, Any]) -> Any:
        close_old_connections()
        try:
            result = runs.begin(job, args, kwargs)
            runs.send(signals.task_started, result)
            try:
                value = runs.complete(result, runs.function(*runs.arguments(result), **result.kwargs))
            except Exception as error:
                if runs.fail(result, job, error):
                    runs.send(signals.task_finished, result)
                raise
            runs.send(signals.task_finished, result)
            return value
        finally:
            close_old_connections()

    return run


def _async_consumer(runs: _Runs) -> Callable[..., Any]:
    async def run(job: Job, args: list[Any], kwargs: dict[str, Any]) -> Any:
        try:
            result = runs.begin(job, args, kwargs)
            await runs.asend(signals.task_started, result)
            try:
                value = runs.complete(result, await runs.function(*runs.arguments(result), **result.kwargs))
            except Exception as error:
                if runs.fail(result, job, error):
                    await runs.asend(signals.task_finished, result)
                raise
            await runs.asend(signals.task_finished, result)
            return value
        finally:
            await sync_to_async(close_old_connections)()

    return run
