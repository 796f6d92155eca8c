"""Shows jobs as the results of Django's tasks."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

from auth_worker.core.job_info import JobInfo
from auth_worker.django.framework import Task, TaskError, TaskResult, TaskResultStatus
from auth_worker.queue.results import error_path_of

HIGHEST = 100
"""Django's priorities are from -100 to 100, the most urgent; BullMQ's begin with 1, the most urgent."""
_STATUS = {
    "active": TaskResultStatus.RUNNING,
    "completed": TaskResultStatus.SUCCESSFUL,
    "failed": TaskResultStatus.FAILED,
}


def bullmq_priority(priority: int) -> int:
    """Return the priority of a job for that of a task. Every job has one: those without would come before all."""
    return HIGHEST + 1 - priority


def find_task(name: str) -> Any:
    """Return the task whose path is ``name``; None if no module that is loaded has it.

    Nothing is imported for a name, since whoever may add jobs chooses it.
    """
    module, _, attribute = name.rpartition(".")
    found = getattr(sys.modules.get(module), attribute, None)
    return found if is_task(found) else None


def is_task(value: object) -> bool:
    """Whether ``value`` is a task. Its type is asked, since a lazy object would be evaluated."""
    return issubclass(type(value), Task)


def result_of(task: Any, job: JobInfo, alias: str) -> Any:
    """Return the ``TaskResult`` of the job."""
    processed, finished = moment(job.processed_on), moment(job.finished_on)
    changed = task.using(queue_name=job.queue_name, backend=alias, priority=_priority(job, task))
    data = job.data if isinstance(job.data, dict) else {}
    result = TaskResult(
        task=changed,
        id=job.id,
        status=_STATUS.get(job.state, TaskResultStatus.READY),
        enqueued_at=moment(job.timestamp),
        started_at=processed,
        finished_at=finished,
        last_attempted_at=processed,
        args=data.get("args", []),
        kwargs=data.get("kwargs", {}),
        backend=alias,
        errors=[TaskError(exception_class_path=error_path_of(each), traceback=each) for each in job.stacktrace],
        worker_ids=[job.worker or ""] * job.attempts_started,
    )
    if job.state == "completed":
        object.__setattr__(result, "_return_value", job.return_value)
    return result


def moment(ms: int | None) -> datetime | None:
    """Return epoch ms as a time."""
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)


def _priority(job: JobInfo, task: Any) -> int:
    stored = job.opts.get("priority")
    if isinstance(stored, int) and 1 <= stored <= bullmq_priority(-HIGHEST):
        return HIGHEST + 1 - stored
    priority: int = task.priority
    return priority
