"""What the operations answer: frozen values, snake_case in Python, camelCase in JSON.

Times are epoch ms, ages and durations ms, unless a name says otherwise. Texts are masked and data shows its shape
only, unless the caller asked to reveal them.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from auth_worker.report import Report


class QueueOverview(Report):
    """A queue at a glance. ``counts`` is by BullMQ's state; ``waiting`` is wait, paused and prioritized together.

    ``done_per_minute`` and ``failed_per_minute``: of late, from what retention keeps and from BullMQ's metrics;
    0 where a queue keeps neither.
    ``workers`` is None where the user may not list connections.
    ``dead_letters``: letters of this queue's jobs; None where they are too many to tell whose they are.
    ``dead_letters_of``: for a dead-letter queue, the queues its letters come from.
    """

    name: str
    paused: bool
    counts: dict[str, int]
    waiting: int
    oldest_waiting_ms: int | None = None
    concurrency: int | None = None
    rate_limited_ms: int = 0
    workers: int | None = None
    done_per_minute: int = 0
    failed_per_minute: int = 0
    dead_letters: int | None = 0
    dead_letters_of: list[str] = Field(default_factory=list)


class QueueList(Report):
    """The queues of a prefix. ``complete`` is False where the search for them was cut short."""

    queues: list[QueueOverview]
    complete: bool = True


class WorkerEntry(Report):
    """A connection of a worker, as CLIENT LIST shows it. Ages are s."""

    queue: str
    name: str
    address: str
    connected_s: int
    idle_s: int


class JobRow(Report):
    """A job in a list. ``due`` is when a delayed job becomes ready, ``waited_ms`` and ``ran_ms`` what it took."""

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


class AddedJob(Report):
    """A job that was added, or was there already with that id."""

    queue: str
    name: str
    id: str


class JobPage(Report):
    """Some jobs of one state. ``total`` stand there, ``scanned`` were looked at to find these.

    ``next_offset`` goes on where this page ended; None at the end.
    """

    queue: str
    state: str
    total: int
    scanned: int
    next_offset: int | None
    jobs: list[JobRow]


class Children(Report):
    """A parent's children: how many there are of each kind, and the keys of some."""

    pending: int = 0
    processed: int = 0
    ignored: int = 0
    failed: int = 0
    keys: list[str] = Field(default_factory=list)


class JobDetail(JobRow):
    """One job, whole. ``data`` and ``return_value`` are shapes unless revealed.

    ``lock_owner`` is the token of the worker that holds it, ``lock_ms`` for how long it still does.
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


class LetterRow(Report):
    """A dead letter in a list. ``queue`` is where its job came from."""

    id: str
    queue: str
    job_id: str
    name: str
    reason_class: str
    failed_reason: str
    attempts_made: int
    failed_at: int
    worker: str


class LetterDetail(LetterRow):
    """One dead letter, whole. ``data`` is a shape unless revealed."""

    dead_letter_queue: str
    data: Any = None
    opts: dict[str, Any] = Field(default_factory=dict)
    stacktrace: list[str] = Field(default_factory=list)
    trace_context: str | None = None
    readable: bool = True
    revealed: bool = False


class LetterPage(Report):
    """Some letters, the newest first. ``total`` wait in the dead-letter queue, ``scanned`` were looked at."""

    dead_letter_queue: str
    total: int
    scanned: int
    next_offset: int | None
    letters: list[LetterRow]


class RedrivenJob(Report):
    """The job that runs again."""

    job_id: str


class DeadLetterQueue(Report):
    """A dead-letter queue and how many letters wait in it."""

    dead_letter_queue: str
    letters: int


class BulkStep(Report):
    """How far a bulk operation is. ``problems`` names the first skipped ones, and why."""

    done: int = 0
    skipped: int = 0
    total: int = 0
    problems: list[str] = Field(default_factory=list)


class Change(Report):
    """Something an operation has changed, for whoever keeps account of it.

    ``result``: a bulk operation may have been stopped, or have failed, after ``count``.
    """

    action: str
    queue: str
    target: str
    count: int = 1
    result: Literal["done", "stopped", "failed"] = "done"


class JobLogs(Report):
    """The last lines a job has logged, of ``total``; masked unless revealed."""

    queue: str
    id: str
    total: int
    lines: list[str]
    revealed: bool = False


class Finding(Report):
    """One thing the doctor looked at. ``remedy`` says what to do, where there is something to do."""

    level: Literal["ok", "warn", "fail"]
    name: str
    detail: str
    remedy: str = ""


class Diagnosis(Report):
    """All the findings. ``healthy`` unless one must be mended. ``acl`` is the least a worker's user may do."""

    healthy: bool
    broker: str
    findings: list[Finding]
    acl: str
