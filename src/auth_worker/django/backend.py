"""AuthWorkerBackend: enqueues Django's tasks as jobs of BullMQ queues."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any

from django.db import transaction

from auth_worker.core.job_info import JobInfo
from auth_worker.django.framework import (
    BaseTaskBackend,
    InvalidTaskBackend,
    TaskResult,
    TaskResultDoesNotExist,
    TaskResultStatus,
    signals,
)
from auth_worker.django.options import read_options
from auth_worker.django.results import bullmq_priority, find_task, result_of
from auth_worker.errors import ConfigurationError
from auth_worker.queue import JobQueue


class AuthWorkerBackend(BaseTaskBackend):
    """A backend for Django's tasks. A task's queue is the BullMQ queue of that name, its path the job's name.

    The data of a job is ``{"args": [...], "kwargs": {...}}``, so that any BullMQ producer can add one. A result
    exists as long as its job. Raises ``InvalidTaskBackend`` naming the wrong option.
    """

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def __init__(self, alias: str, params: Mapping[str, Any]) -> None:
        super().__init__(alias, params)
        try:
            self.settings = read_options(alias, self.options)
        except ConfigurationError as error:
            raise InvalidTaskBackend(str(error)) from error

    def enqueue(self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Add a job that calls the task, now or when the transaction commits. Raises ``BrokerError``."""
        self.validate_task(task)
        result = self._new_result(task, args, kwargs)
        if self.settings.enqueue_on_commit:
            transaction.on_commit(partial(self._add, result))
        else:
            self._add(result)
        return result

    async def aenqueue(self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """As ``enqueue``."""
        if self.settings.enqueue_on_commit:
            return await super().aenqueue(task, args, kwargs)
        self.validate_task(task)
        result = self._new_result(task, args, kwargs)
        name, data, options = self._job(result)
        await self.jobs(task.queue_name).add(name, data, **options)
        object.__setattr__(result, "enqueued_at", datetime.now(UTC))
        await signals.task_enqueued.asend(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> Any:
        """Return the result of a task. Raises ``TaskResultDoesNotExist`` if its job has been removed."""
        return self._found(result_id, self._jobs_of(result_id).sync.get(result_id))

    async def aget_result(self, result_id: str) -> Any:
        """As ``get_result``."""
        return self._found(result_id, await self._jobs_of(result_id).get(result_id))

    def jobs(self, queue: str) -> JobQueue:
        """Return the producer of a queue."""
        return _producer(queue, self.settings.redis_url, self.settings.timeout)

    def _new_result(self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        return TaskResult(
            task=task,
            id=f"{uuid.uuid4().hex}-{task.queue_name}",  # the id of a result must tell its queue
            status=TaskResultStatus.READY,
            enqueued_at=None,
            started_at=None,
            finished_at=None,
            last_attempted_at=None,
            args=list(args),
            kwargs=dict(kwargs),
            backend=self.alias,
            errors=[],
            worker_ids=[],
        )

    def _add(self, result: Any) -> None:
        name, data, options = self._job(result)
        self.jobs(result.task.queue_name).sync.add(name, data, **options)
        object.__setattr__(result, "enqueued_at", datetime.now(UTC))
        signals.task_enqueued.send(type(self), task_result=result)

    def _job(self, result: Any) -> tuple[str, Any, dict[str, Any]]:
        task = result.task
        options = {
            "attempts": self.settings.attempts,
            **self.settings.job_options,
            "job_id": result.id,
            "priority": bullmq_priority(task.priority),
        }
        if task.run_after is not None:
            left = task.run_after.timestamp() - datetime.now(UTC).timestamp()
            options["delay"] = max(round(left * 1000), 0)
        return task.module_path, {"args": result.args, "kwargs": result.kwargs}, options

    def _jobs_of(self, result_id: str) -> JobQueue:
        _, _, queue = result_id.partition("-")
        if not queue or (self.queues and queue not in self.queues):
            raise TaskResultDoesNotExist(result_id)
        return self.jobs(queue)

    def _found(self, result_id: str, job: JobInfo | None) -> Any:
        task = None if job is None else find_task(job.name)
        if job is None or task is None:
            raise TaskResultDoesNotExist(result_id)
        return result_of(task, job, self.alias)


@cache
def _producer(queue: str, redis_url: str | None, timeout: float) -> JobQueue:
    """Return the producer that all threads share. Django makes a backend for each thread."""
    return JobQueue(queue, redis_url, timeout=timeout, sync_timeout=timeout)
