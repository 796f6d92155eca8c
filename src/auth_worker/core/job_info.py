"""A job as its producer looks at it: what ``JobQueue.get`` and ``flow.get`` return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from auth_worker.core.json_codec import decode_or_text
from auth_worker.core.policy import SHORT_KEYS
from auth_worker.core.ports.values import StoredJob


@dataclass(frozen=True)
class JobInfo:
    """A stored job. Times are epoch ms, None for what has not happened. ``opts`` has BullMQ's names.

    ``state`` is BullMQ's, ``unknown`` for a job that is in none. A field that is not JSON is shown as stored.
    ``parent`` is the key of the parent job, ``worker`` the name of the worker that ran it last.
    """

    id: str
    queue_name: str
    name: str
    state: str
    data: Any
    opts: dict[str, Any]
    progress: Any
    return_value: Any
    failed_reason: str | None
    attempts_made: int
    timestamp: int | None
    processed_on: int | None
    finished_on: int | None
    parent: str | None
    worker: str | None
    attempts_started: int
    stacktrace: list[str]

    @classmethod
    def of(cls, queue: str, job: StoredJob, state: str) -> Self:
        """Build it from a stored job of ``queue``, which is in ``state``."""
        opts, traces = _decoded(job.opts), _decoded(job.stacktrace)
        stored: dict[str, Any] = opts if isinstance(opts, dict) else {}
        return cls(
            id=job.id,
            queue_name=queue,
            name=job.name,
            state=state,
            data=_decoded(job.data),
            opts={SHORT_KEYS.get(name, name): value for name, value in stored.items()},
            progress=_decoded(job.progress),
            return_value=_decoded(job.return_value),
            failed_reason=job.failed_reason,
            attempts_made=job.attempts_made or 0,
            timestamp=job.timestamp,
            processed_on=job.processed_on,
            finished_on=job.finished_on,
            parent=job.parent,
            worker=job.worker,
            attempts_started=job.attempts_started or 0,
            stacktrace=[str(trace) for trace in traces] if isinstance(traces, list) else [],
        )


@dataclass(frozen=True)
class FlowTree:
    """A job and its children, as far as they were requested.

    ``children_count`` is how many it has. Those that have been removed are not in ``children``.
    """

    job: JobInfo
    children: tuple[FlowTree, ...]
    children_count: int


def _decoded(text: str | None) -> Any:
    return None if text is None else decode_or_text(text)
