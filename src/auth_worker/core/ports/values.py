"""What a broker stores, as values: states of jobs, stored jobs, queue settings, connections of workers.

Times are epoch ms unless a name says otherwise.
"""

from __future__ import annotations

from enum import Enum
from typing import Literal, NamedTuple, get_args

JobState = Literal["wait", "paused", "active", "prioritized", "delayed", "waiting-children", "completed", "failed"]
STATES: tuple[str, ...] = get_args(JobState)
"""The states of a job, under BullMQ's names."""
WAITING = ("wait", "paused", "prioritized")
"""The states of jobs that could run now."""
StoredKind = Literal["job", "other", "none"]
"""What is stored under an id: a job, something else, or nothing."""
LargeField = Literal["data", "return_value", "stacktrace"]


class ChangeResult(Enum):
    """The result of a change to a job. All but the first two changed nothing."""

    DONE = "done"
    REQUESTED = "its worker was asked to stop it"
    """Of a cancellation, which the worker is going to carry out."""
    NO_JOB = "there is no such job"
    LOCKED = "a worker is processing it"
    WRONG_STATE = "it is in another state"
    HAS_DEAD_LETTER = "its dead letter was written when it failed"
    NEEDED_BY_SCHEDULER = "its job scheduler needs it: remove the scheduler instead"
    REFUSED = "the broker refuses to change it"


class StoredJob(NamedTuple):
    """A job as it is stored. None means that it lacks a field, or that a number cannot be read.

    ``opts``, ``data``, ``return_value``, ``progress`` and ``stacktrace`` are JSON, as their writer left it.
    """

    id: str
    name: str = ""
    timestamp: int | None = None
    delay: int | None = None
    priority: int | None = None
    attempts_made: int | None = None
    attempts_started: int | None = None
    stalled: int | None = None
    processed_on: int | None = None
    finished_on: int | None = None
    failed_reason: str | None = None
    worker: str | None = None
    opts: str | None = None
    data: str | None = None
    data_bytes: int = 0
    return_value: str | None = None
    progress: str | None = None
    stacktrace: str | None = None
    parent: str | None = None
    deferred_failure: str | None = None
    deduplication_id: str | None = None
    scheduler: str | None = None
    dead_letter: str | None = None


class StoredChildren(NamedTuple):
    """A parent's children: the number of each kind (``ignored``: ignored failures), and some of their ``keys``."""

    pending: int
    processed: int
    ignored: int
    failed: int
    keys: list[str]


class QueueSettings(NamedTuple):
    """The settings of a queue. ``concurrency`` is that of all workers together; None is no limit.

    ``rate_limit``: all workers together start at most so many jobs in so many ms. No job starts for the next
    ``limited_ms``, since that limit is reached.
    """

    paused: bool
    concurrency: int | None
    limited_ms: int
    rate_limit: tuple[int, int] | None = None


class QueueSummary(NamedTuple):
    """What an overview shows of a queue: the number of jobs in each of ``STATES``, its settings, and more.

    ``oldest_waiting`` is when the oldest of the jobs next in line was added (epoch ms); None if none waits. Each
    rate is the higher of two numbers: BullMQ's metrics, if the workers write them, and the retained jobs.
    ``dead_letters`` is the number of waiting jobs, but 0 if neither the newest nor the oldest is a dead letter.
    """

    counts: dict[str, int]
    settings: QueueSettings
    oldest_waiting: int | None
    done_per_minute: int
    failed_per_minute: int
    dead_letters: int


class SchedulerReading(NamedTuple):
    """The state of the job schedulers: the number ``seen``, problems by id, and the ids of stopped ones."""

    seen: int
    unreadable: dict[str, str]
    stopped: list[str]


class WorkerConnection(NamedTuple):
    """A worker's connection to the broker. Ages are in s."""

    queue: str
    worker: str
    address: str
    connected_s: int
    idle_s: int


def printable(job_id: str) -> str:
    """Escape the bytes of a job id that are not UTF-8, so that JSON can hold it."""
    return job_id.encode(errors="surrogateescape").decode(errors="backslashreplace")
