"""The results of operations: frozen values, snake_case in Python, camelCase in JSON.

Times are epoch ms, ages and durations ms, unless a name says otherwise. Texts are masked, and of data only the
shape is shown, unless the caller asked to reveal them.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from auth_worker.core.camel_model import CamelModel
from auth_worker.core.report import Finding


class RateLimit(CamelModel):
    """All workers together start at most ``max`` jobs every ``duration`` ms."""

    max: int
    duration: int


class QueueOverview(CamelModel):
    """A queue at a glance. ``counts`` is by BullMQ's states; ``waiting`` is wait, paused and prioritized together.

    ``done_per_minute`` and ``failed_per_minute`` are recent rates, computed from the retained jobs and from
    BullMQ's metrics; 0 if a queue keeps neither. ``workers`` is None if the Redis user may not list connections.
    ``dead_letters`` counts dead letters of this queue's jobs; None if there are too many to tell which queue they
    come from. ``dead_letters_of``: for a dead-letter queue, the queues from which its dead letters come.
    """

    name: str
    paused: bool
    counts: dict[str, int]
    waiting: int
    oldest_waiting_ms: int | None = None
    concurrency: int | None = None
    rate_limit: RateLimit | None = None
    rate_limited_ms: int = 0
    workers: int | None = None
    done_per_minute: int = 0
    failed_per_minute: int = 0
    dead_letters: int | None = 0
    dead_letters_of: list[str] = Field(default_factory=list)


class QueueList(CamelModel):
    """The queues of a prefix. ``complete`` is False if some may be missing."""

    queues: list[QueueOverview]
    complete: bool = True


class SchedulerEntry(CamelModel):
    """A job scheduler. ``next`` is when its next job is due, ``count`` how many it has added; ``every`` is in ms.

    ``problem`` says why it cannot go on, None if it can.
    """

    id: str
    name: str
    next: int
    every: int | None = None
    pattern: str | None = None
    tz: str | None = None
    limit: int | None = None
    offset: int | None = None
    start_date: int | None = None
    end_date: int | None = None
    count: int = 0
    problem: str | None = None


class SchedulerDetail(SchedulerEntry):
    """A job scheduler of ``queue``, and the ``data`` (a shape unless revealed) and ``opts`` of its jobs."""

    queue: str
    data: Any = None
    opts: Any = None
    revealed: bool = False


class Deduplication(CamelModel):
    """The job ``job_id``, which keeps other jobs with the deduplication ``id`` out."""

    queue: str
    id: str
    job_id: str


class WorkerEntry(CamelModel):
    """A connection of a worker, as CLIENT LIST shows it. Ages are s."""

    queue: str
    name: str
    address: str
    connected_s: int
    idle_s: int


class JobRow(CamelModel):
    """A job in a list.

    ``due`` is when a delayed job becomes ready; ``ran_ms`` is how long its last attempt took.
    """

    id: str
    name: str
    state: str
    timestamp: int
    attempts_made: int = 0
    max_attempts: int | None = None
    stalled: int = 0
    priority: int = 0
    due: int | None = None
    processed_on: int | None = None
    finished_on: int | None = None
    ran_ms: int | None = None
    failed_reason: str | None = None
    data_bytes: int = 0
    worker: str | None = None


class AddedJob(CamelModel):
    """A job that was added; if it is not ``created``, it existed before."""

    queue: str
    name: str
    id: str
    created: bool


class JobPage(CamelModel):
    """A page of the ``total`` jobs in one state. ``scanned`` were read to find these.

    ``next_offset`` is where the next page starts, None at the end.
    """

    queue: str
    state: str
    total: int
    scanned: int
    next_offset: int | None
    jobs: list[JobRow]


class Children(CamelModel):
    """A parent's children: how many of each kind it has, and the keys of some."""

    pending: int = 0
    processed: int = 0
    ignored: int = 0
    failed: int = 0
    keys: list[str] = Field(default_factory=list)


class JobDetail(JobRow):
    """One job in full. ``data`` and ``return_value`` are shapes unless revealed.

    ``lock_owner`` is the token of the worker that holds its lock, ``lock_ms`` how long the lock still lasts.
    """

    queue: str
    data: Any = None
    opts: dict[str, Any] = Field(default_factory=dict)
    return_value: Any = None
    progress: Any = None
    attempts_started: int = 0
    delay: int = 0
    stacktrace: list[str] = Field(default_factory=list)
    logs: list[str] = Field(default_factory=list)
    log_count: int = 0
    parent: str | None = None
    children: Children | None = None
    lock_owner: str | None = None
    lock_ms: int | None = None
    deferred_failure: str | None = None
    deduplication_id: str | None = None
    scheduler: str | None = None
    dead_letter: str | None = None
    revealed: bool = False


class DeadLetterRow(CamelModel):
    """A dead letter in a list. ``queue`` is the queue of its job."""

    id: str
    queue: str
    job_id: str
    name: str
    reason_class: str
    failed_reason: str
    attempts_made: int
    failed_at: int
    worker: str


class DeadLetterDetail(DeadLetterRow):
    """One dead letter in full. ``data`` is a shape unless revealed. ``notes`` are those of operators."""

    dead_letter_queue: str
    data: Any = None
    opts: dict[str, Any] = Field(default_factory=dict)
    stacktrace: list[str] = Field(default_factory=list)
    trace_context: str | None = None
    readable: bool = True
    notes: list[str] = Field(default_factory=list)
    revealed: bool = False


class DeadLetterPage(CamelModel):
    """A page of dead letters, the newest first. The queue holds ``total``, of which ``scanned`` were read.

    ``note`` names the queues that hold dead letters if this one holds none.
    """

    dead_letter_queue: str
    total: int
    scanned: int
    next_offset: int | None
    letters: list[DeadLetterRow]
    note: str = ""


class RedrivenJob(CamelModel):
    """The job that runs again."""

    job_id: str


class DeadLetterQueue(CamelModel):
    """A dead-letter queue, and how many dead letters it holds."""

    dead_letter_queue: str
    letters: int


class BulkStep(CamelModel):
    """The progress of a bulk operation. ``problems`` names the first skipped ids, and why they were skipped."""

    done: int = 0
    skipped: int = 0
    total: int = 0
    problems: list[str] = Field(default_factory=list)


class Change(CamelModel):
    """A change that an operation has made.

    ``count`` is how many jobs or dead letters changed. ``result`` is not ``done`` if a bulk operation ended early.
    """

    action: str
    queue: str
    target: str
    count: int = 1
    result: Literal["done", "stopped", "failed"] = "done"


class JobLogs(CamelModel):
    """The last of the ``total`` lines that a job has logged; masked unless revealed."""

    queue: str
    id: str
    total: int
    lines: list[str]
    revealed: bool = False


class Diagnosis(CamelModel):
    """All findings. ``healthy`` unless one is a failure. ``acl`` is the minimal ACL of a worker's user."""

    healthy: bool
    broker: str
    findings: list[Finding]
    acl: str
