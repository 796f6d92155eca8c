"""Shows jobs as the results of Django's tasks."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

from auth_worker.core.job_info import JobInfo
from auth_worker.django.framework import Task, TaskError, TaskResult, TaskResultStatus
from auth_worker.queue.results import error_path_of

HIGHEST = 100
"""Django's highest priority. Its priorities rise from -100 to 100; in BullMQ, 1 is the most urgent."""
_STATUS = {
    "active": TaskResultStatus.RUNNING,
    "completed": TaskResultStatus.SUCCESSFUL,
    "failed": TaskResultStatus.FAILED,
}


def bullmq_priority(priority: int) -> int:
    """Return a task's priority as BullMQ's. Every job gets one, since jobs without a priority run first."""
    return HIGHEST + 1 - priority


def find_task(name: str) -> Any:
    """Return the task whose path is ``name``; None if no loaded module has it.

    Nothing is imported, since whoever may add jobs chooses the name.
    """
    module, _, attribute = name.rpartition(".")
    found = getattr(sys.modules.get(module), attribute, None)
    return found if is_task(found) else None


def is_task(value: object) -> bool:
    """Whether ``value`` is a task. Only its type is inspected: ``isinstance`` would evaluate a lazy object."""
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
