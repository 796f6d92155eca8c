"""The options of a job as a type checker sees them: the keywords of ``JobQueue.add`` and of ``task.options``.

``core.job_options`` checks the values.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal, Required, TypedDict

from auth_worker.core.job_options import Deduplication, Parent
from auth_worker.core.worker_config import Backoff, Retention


class BackoffDict(TypedDict, total=False):
    """``Backoff`` as a dict; ``delay`` is in ms."""

    type: Required[Literal["fixed", "exponential"]]
    delay: int
    jitter: float


class RetentionDict(TypedDict, total=False):
    """``Retention`` as a dict; ``age`` is in s."""

    count: int
    age: int
    limit: int


class DeduplicationDict(TypedDict, total=False):
    """``Deduplication`` as a dict; ``ttl`` is in ms."""

    id: Required[str]
    ttl: int
    extend: bool
    replace: bool
    keep_last_if_active: bool


class ParentDict(TypedDict):
    """``Parent`` as a dict; ``queue`` has the prefix, such as ``bull:emailQueue``."""

    id: str
    queue: str


Keep = bool | int | Retention | RetentionDict


class JobOptionsDict(TypedDict, total=False):
    """The options of one job. What is not given, or None, is left to the queue's defaults and to the worker.

    The documentation's page *Job options* is made of the docstrings below.
    """

    job_id: str | None
    """The job's id; a job with an id that exists already is not added again."""
    partition_key: str | None
    """What decides the partition of a job without an id, if its queue has any: jobs with one key share it."""
    delay: int | timedelta | None
    """How long (ms, or a ``timedelta``) it waits until it may run."""
    attempts: int | None
    """How often it may run until it counts as failed."""
    backoff: int | Backoff | BackoffDict | None
    """The wait before another attempt: ms, or ``{"type": "exponential" or "fixed", "delay": ms, "jitter": 0 to
    1}``.
    """
    priority: int | None
    """From 1, the most urgent, to 2097151. Jobs without a priority, or with 0, come before all of them."""
    lifo: bool | None
    """Whether it goes to the front of the waiting jobs."""
    timestamp: int | None
    """When it was added, epoch ms; now."""
    remove_on_complete: Keep | None
    """Remove it once it has completed: ``True``, how many such jobs stay, or ``{"count": n, "age": s, "limit":
    n}``.
    """
    remove_on_fail: Keep | None
    """Remove it once it has failed, as ``remove_on_complete``."""
    keep_logs: int | None
    """How many lines of its log stay."""
    stack_trace_limit: int | None
    """How many stack traces stay."""
    size_limit: int | None
    """The most bytes that its data may have; larger data is refused."""
    deduplication: Deduplication | DeduplicationDict | None
    """Add no other job with this ``id`` while the job exists, or for ``ttl`` ms: ``{"id": ..., "ttl": ms,
    "extend": ..., "replace": ..., "keep_last_if_active": ...}``.
    """
    parent: Parent | ParentDict | None
    """The job that waits for this one: ``{"id": ..., "queue": "bull:..."}``."""
    fail_parent_on_failure: bool | None
    """If it fails for good, its parent fails."""
    continue_parent_on_failure: bool | None
    """If it fails for good, its parent runs at once."""
    ignore_dependency_on_failure: bool | None
    """If it fails for good, its parent goes on as if it had completed, and sees the failure."""
    remove_dependency_on_failure: bool | None
    """If it fails for good, its parent forgets it."""
    telemetry_metadata: str | None
    """The trace to store with it, as JSON."""
    omit_context: bool | None
    """Whether to store no trace with it."""


class BulkJob(TypedDict, total=False):
    """One job of ``add_bulk``: its name, its data and its options."""

    name: Required[str]
    data: Any
    opts: JobOptionsDict
