"""The operator's port to a broker: what operations need of queues, jobs, dead letters and the server.

It carries values only: no bytes, key names or return codes. Every coroutine may raise ``BrokerError``. Times are
epoch ms unless a name says otherwise. ``brokers.redis.operator`` implements it over Redis.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from auth_worker.core.dead_letter import DeadLetter
from auth_worker.core.ports.alerts import AlertStore
from auth_worker.core.ports.audit_log import AuditLogStore
from auth_worker.core.ports.bulk_operations import BulkOperationStore
from auth_worker.core.ports.heartbeats import HeartbeatReader
from auth_worker.core.ports.history import HistoryStore
from auth_worker.core.ports.queue_changes import QueueChanger
from auth_worker.core.ports.values import (
    ChangeResult,
    LargeField,
    QueueSettings,
    QueueSummary,
    SchedulerReading,
    StoredChildren,
    StoredJob,
    StoredKind,
    WorkerConnection,
)
from auth_worker.core.report import Finding


class QueueReader(Protocol):
    """Reads one queue."""

    @property
    def queue(self) -> str:
        """Its name."""

    async def exists(self) -> bool:
        """Whether a job was ever added to a queue of this name."""

    async def counts(self) -> dict[str, int]:
        """Return the number of jobs in each of ``STATES``."""

    async def settings(self) -> QueueSettings:
        """Return the settings that apply to all of its workers."""

    async def summary(self, now: int) -> QueueSummary:
        """Return what an overview shows of the queue."""

    async def oldest_waiting(self) -> int | None:
        """Return when the oldest of the jobs next in line was added; None if none waits."""

    async def ids(self, state: str, offset: int, limit: int) -> list[str]:
        """Return ``limit`` ids of a state from ``offset`` on: the next to run first, of finished jobs the newest.

        Bytes that are not UTF-8 become surrogates, which ``printable`` escapes.
        """

    async def count_finished_before(self, state: str, before: int) -> int:
        """Return how many of the ``completed`` or ``failed`` jobs finished by then."""

    async def unlocked(self, limit: int) -> list[tuple[str, int | None]]:
        """Return those of the next ``limit`` active jobs that no worker holds, each with when its run began."""

    async def dead_letter_marks(self, limit: int) -> list[tuple[str | None, int | None]]:
        """Return of the newest ``limit`` failed jobs the id of the dead letter, if any, and when they finished."""

    async def schedulers(self, limit: int, stopped_before: int) -> SchedulerReading:
        """Read at most ``limit`` job schedulers: which cannot be read, and which had stopped by then."""


class JobReader(Protocol):
    """Reads the jobs of one queue."""

    @property
    def queue(self) -> str:
        """The queue's name."""

    async def rows(
        self, ids: Sequence[str], large: Collection[LargeField] = (), *, brief: bool = False
    ) -> list[StoredJob | None]:
        """Return what a list shows of each job, and its ``large`` fields; None for an id without a job.

        ``brief``: only what a ``JobFilter`` looks at, which costs the broker half.
        """

    async def whole(self, job_id: str) -> StoredJob | None:
        """Return a job in full; None if there is none."""

    async def kind(self, job_id: str) -> StoredKind:
        """Return what is stored under this id: a ``job``, something ``other`` than a job, or ``none``."""

    async def state(self, job_id: str) -> str:
        """Return the state of a job, ``unknown`` if it is in none."""

    async def due(self, job_id: str) -> int | None:
        """Return when a delayed job becomes ready; None for any other."""

    async def logs(self, job_id: str, limit: int) -> tuple[list[str], int]:
        """Return the last ``limit`` lines that a job has logged, and the number of all."""

    async def lock(self, job_id: str) -> tuple[str | None, int]:
        """Return the token of the worker that holds the job, if one does, and how long (ms) it still does."""

    async def children(self, job_id: str) -> StoredChildren:
        """Return the job's children."""


class JobChanger(Protocol):
    """Changes the jobs of one queue."""

    async def retry(self, ids: Sequence[str], dead_letter_queues: Collection[str]) -> list[ChangeResult]:
        """Let finished jobs wait again with fresh attempts.

        The dead letter of a failed one is removed in the same step, whichever of ``dead_letter_queues`` has it.
        """

    async def promote(self, job_id: str) -> ChangeResult:
        """Let a delayed job run now."""

    async def remove(self, job_id: str, children: bool = False) -> ChangeResult:
        """Remove a job, and with ``children`` its children. An id without a job counts as removed."""

    async def cancel(self, job_id: str, reason: str) -> ChangeResult:
        """Cancel a job: one that waits fails at once, the worker of one that runs is asked to stop it.

        So are the children that it waits for.
        """

    async def dead_letter(self, job_id: str, to: str, reason: str) -> ChangeResult:
        """Fail a job that does not run, as ``cancel`` does, and add its dead letter to the queue ``to``.

        A failed job gets the dead letter that it lacks.
        """

    async def change_priority(self, job_id: str, priority: int) -> ChangeResult:
        """Change the priority of a job that has not finished; 0 is none."""

    async def change_delay(self, job_id: str, delay: int) -> ChangeResult:
        """Let a delayed job run ``delay`` ms from now."""

    async def add_log(self, job_id: str, line: str, most: int) -> bool:
        """Add a line to a job's log, of which the last ``most`` are kept. Returns whether the job exists."""

    async def overwrite_data(self, job_id: str, data: bytes) -> None:
        """Replace the stored data of a job without checking it, as a broken producer would."""

    async def drain_step(self, state: str, count: int) -> None:
        """Remove the next ``count`` jobs of ``wait`` or ``paused``; what a job scheduler needs stays."""

    async def clean_step(self, state: str, before: int, count: int) -> int:
        """Remove up to ``count`` completed or failed jobs that finished by then. Returns how many."""


class DeadLetterStore(Protocol):
    """The dead letters of one queue."""

    async def count(self) -> int:
        """Return the number of jobs that wait in the queue."""

    async def count_if_any(self) -> int:
        """As ``count``, but 0 if neither the newest nor the oldest of them is a dead letter."""

    async def ids(self, offset: int, limit: int) -> list[str]:
        """Return ``limit`` ids from ``offset`` on, the newest first, including those of other jobs."""

    async def read(self, letter_id: str) -> DeadLetter | None:
        """Return one dead letter, without data if it cannot be read; None if there is none."""

    async def redrive(self, letter_id: str) -> str | None:
        """Let the job of a dead letter run again with fresh attempts. Returns its id, or None without a letter.

        Raises ``ConfigurationError`` if the job cannot run, ``ValueError`` if the dead letter cannot be read.
        """


Examination = Callable[[], Awaitable[list[Finding]]]


class ConnectionState(Protocol):
    """The state of a connection to the broker. Any thread may read it."""

    @property
    def name(self) -> str:
        """What the connection is for."""

    @property
    def is_up(self) -> bool:
        """Whether it is connected."""

    @property
    def down_s(self) -> float:
        """How long (s) it has been down; 0 while it is up."""

    def why_down(self) -> Exception:
        """Return why it is down."""


class BrokerView(Protocol):
    """The part of a broker that gauges and probes use."""

    @property
    def is_up(self) -> bool:
        """Whether it is connected. Any thread may read it."""

    async def ping(self) -> None:
        """Check that the broker responds."""

    def queue(self, name: str) -> QueueReader:
        """Return a reader of a queue."""

    def dead_letters(self, queue: str) -> DeadLetterStore:
        """Return the dead letters in the dead-letter queue ``queue``."""


class OperatorBroker(BrokerView, Protocol):
    """A broker with the queues under one prefix, on connections of the operator's own.

    Belongs to the event loop that started it; calls may overlap.
    """

    @property
    def prefix(self) -> str:
        """What the names of all its queues start with in the broker."""

    @property
    def address(self) -> str:
        """Where the broker is, without secrets."""

    @property
    def connection(self) -> Any:
        """The connection argument for a ``JobQueue`` on the same broker."""

    async def start(self, timeout: float) -> None:
        """Connect, and stay connected. Raises ``BrokerError`` after ``timeout`` s without the broker."""

    async def stop(self) -> None:
        """Disconnect."""

    def jobs(self, queue: str) -> JobReader:
        """Return a reader of the jobs of ``queue``."""

    def queue_changes(self, queue: str) -> QueueChanger:
        """Return what changes ``queue`` as a whole."""

    def job_changes(self, queue: str) -> JobChanger:
        """Return what changes the jobs of ``queue``."""

    def audit_log(self) -> AuditLogStore:
        """Return the audit log."""

    def alerts(self) -> AlertStore:
        """Return the state of the alerts."""

    def bulk_operations(self) -> BulkOperationStore:
        """Return the records of bulk operations."""

    def heartbeats(self) -> HeartbeatReader:
        """Return the heartbeats of the worker processes."""

    def history(self, queue: str | None) -> HistoryStore:
        """Return the history of ``queue``; with None, that of all queues together."""

    async def find_queues(self, budget_s: float = 5.0) -> tuple[list[str], bool]:
        """Return the queues by name, and whether all were found within ``budget_s``.

        With a million keys, one may be missing for three minutes after its first job.
        """

    async def partitions_of(self, queue: str) -> int:
        """Return how many partitions jobs of a queue are added to now; 1 if it has none."""

    async def find_prefixes(self) -> list[str]:
        """Return the prefixes with queues that are found within a second."""

    async def find_workers(self) -> list[WorkerConnection]:
        """Return the workers of all queues."""

    async def unworked_partitions(self) -> dict[str, list[QueueReader]]:
        """Return the partitions, by queue, that no worker works, of queues of which others are worked.

        Among them is the queue of the same name without partitions, if it exists.
        """

    async def software(self) -> str:
        """Return the server's name and version."""

    async def clock_skew(self) -> float:
        """Return how far (s) the broker's clock is ahead of ours (negative: behind)."""

    def examinations(self) -> Mapping[str, Examination]:
        """The examinations of the server itself, by name and in order."""

    def acl_rule(self) -> str:
        """The minimal ACL of a worker's user, as a command for the server."""
