"""The job that a consumer receives."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Mapping
from typing import Any, Protocol, TypeVar

from auth_worker.system.forks import call_in_child

T = TypeVar("T")
LONGEST_ROW = 1_000_000
"""The most characters of a row of a job's log that are kept."""
_making_event = threading.Lock()


@call_in_child
def _renew_lock() -> None:
    """Replace the lock in a forked child: another thread of the parent may hold it forever."""
    global _making_event  # noqa: PLW0603 - one for the whole process
    _making_event = threading.Lock()


class JobActions(Protocol):
    """The actions of a running job on its queue. The broker's adapter provides them, in its ``loop``."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The work loop. None in a forked child, where it does not run."""

    async def add_log(self, job: Job, row: str) -> int:
        """Append a row to the job's BullMQ log."""

    async def update_progress(self, job: Job, value: Any) -> None:
        """Store the job's progress, and notify QueueEvents."""

    async def extend_lease(self, job: Job) -> None:
        """Renew the job's lock now."""

    async def children_values(self, job: Job) -> dict[str, Any]:
        """Read the return values of the job's children."""

    async def children_failures(self, job: Job) -> dict[str, str]:
        """Read why children failed that do not fail the job."""


class BlockingActions(JobActions):
    """Actions that block the awaiting thread until they are done, and need no loop."""

    loop = None


class Job:
    """One run of a job. Attributes are read-only for the consumer; times are epoch ms.

    ``attempt`` counts from 1. ``deadline`` is the monotonic time (s) at which the run is cancelled, if its
    processor has a timeout. ``parent`` is ``{"id", "queueKey"}`` if the job is a child in a flow. ``partition`` is
    its number, if the queue has partitions. ``progress`` is what an earlier run stored with ``update_progress``.
    """

    __slots__ = (
        "_actions",
        "_cancelled",
        "_id",
        "attempt",
        "data",
        "deadline",
        "max_attempts",
        "name",
        "opts",
        "parent",
        "partition",
        "priority",
        "progress",
        "queue_name",
        "stalled_count",
        "timestamp",
        "token",
    )

    def __init__(
        self,
        id: str,
        name: str,
        data: Any,
        opts: Mapping[str, Any],
        queue_name: str,
        attempt: int = 1,
        max_attempts: int = 1,
        timestamp: int = 0,
        priority: int = 0,
        progress: Any = 0,
        parent: Mapping[str, Any] | None = None,
        stalled_count: int = 0,
        token: str = "",
        actions: JobActions | None = None,
    ) -> None:
        self._id = id
        self.name = name
        self.data = data
        self.opts = opts
        self.queue_name = queue_name
        self.attempt = attempt
        self.max_attempts = max_attempts
        self.timestamp = timestamp
        self.priority = priority
        self.progress = progress
        self.parent = parent
        self.stalled_count = stalled_count
        self.token = token
        self.partition = 0
        self.deadline: float | None = None
        self._actions = actions
        self._cancelled: threading.Event | None = None

    def __repr__(self) -> str:
        return f"<Job {self.queue_name}:{self.id} {self.name!r} attempt {self.attempt}/{self.max_attempts}>"

    @property
    def id(self) -> str:
        """The job's id. It cannot be changed, since the job's lease depends on it."""
        return self._id

    @property
    def cancelled(self) -> threading.Event:
        """Set when the run must stop: timeout, lost lease or shutdown. For consumers that run in a thread."""
        if self._cancelled is None:
            with _making_event:  # the consumer's thread and the loop may get here at the same moment
                self._cancelled = self._cancelled or threading.Event()
        return self._cancelled

    def attach(self, actions: JobActions) -> None:
        """Let the job reach its queue through ``actions`` from now on."""
        self._actions = actions

    @property
    def sync(self) -> SyncJob:
        """The job's coroutines as plain methods, for a plain ``def`` consumer: ``job.sync.log("half way")``."""
        return SyncJob(self)

    async def log(self, text: object) -> int:
        """Append a row to the job's BullMQ log and return how many rows it has. The option keepLogs trims it.

        What is not text is converted with ``str``, bytes are decoded as UTF-8, and what UTF-8 cannot store becomes
        U+FFFD, as in Node. A row longer than 1,000,000 characters is cut. Source: addLog-2.lua. Raises
        ``BrokerError`` if Redis cannot be reached.
        """
        return await self._require_actions().add_log(self, _row_of(text))

    async def update_progress(self, value: Any) -> None:
        """Store a JSON value as the job's progress, and notify the listeners of QueueEvents.

        Source: updateProgress-3.lua. Raises ``BrokerError`` if Redis cannot be reached, ``TypeError`` or
        ``ValueError`` if the value is not JSON.
        """
        await self._require_actions().update_progress(self, value)
        self.progress = value

    async def extend_lease(self) -> None:
        """Renew the job's lock now. The service renews it by itself; this is a check before a side effect.

        Raises ``LeaseLostError`` if the lock is lost, ``BrokerError`` if Redis cannot be reached.
        """
        await self._require_actions().extend_lease(self)

    async def children_values(self) -> dict[str, Any]:
        """Return the results of the job's finished children, by job key."""
        return await self._require_actions().children_values(self)

    async def children_failures(self) -> dict[str, str]:
        """Return the reasons, by job key, of children that failed without failing the job.

        These are the children added with ``ignoreDependencyOnFailure`` or ``continueParentOnFailure``, as in
        Node's ``getIgnoredChildrenFailures``. Raises ``BrokerError`` if Redis cannot be reached.
        """
        return await self._require_actions().children_failures(self)

    def _require_actions(self) -> JobActions:
        actions, loop = self._attached()
        if loop is not None and _running_loop() is not loop:
            raise RuntimeError(
                "the job's coroutines are for the service's event loop: in a plain def consumer call "
                "job.sync.log(...), job.sync.update_progress(...) and so on"
            )
        return actions

    def _attached(self) -> tuple[JobActions, asyncio.AbstractEventLoop | None]:
        """Return the actions, and the loop that they belong to; None if they block instead."""
        if self._actions is None:
            raise RuntimeError(
                f"{self!r} is not attached to a queue, so it has no log, progress or lease: jobs that were made "
                "by hand are not"
            )
        loop = self._actions.loop
        if loop is None and not isinstance(self._actions, BlockingActions):
            raise RuntimeError(
                f"{self!r} runs in the parent process: a forked child has no connection to Redis, and so cannot "
                "reach the job's log, progress or lease"
            )
        return self._actions, loop


class SyncJob:
    """The job's coroutines for code in a thread: each call blocks until it is done, or has failed.

    Raises what the coroutine of the same name in ``Job`` raises, and ``RuntimeError`` in the event loop itself,
    which would block forever.
    """

    __slots__ = ("_job",)

    def __init__(self, job: Job) -> None:
        self._job = job

    def log(self, text: object) -> int:
        """As ``Job.log``."""
        return self._wait_for(self._job.log(text))

    def update_progress(self, value: Any) -> None:
        """As ``Job.update_progress``."""
        self._wait_for(self._job.update_progress(value))

    def extend_lease(self) -> None:
        """As ``Job.extend_lease``."""
        self._wait_for(self._job.extend_lease())

    def children_values(self) -> dict[str, Any]:
        """As ``Job.children_values``."""
        return self._wait_for(self._job.children_values())

    def children_failures(self) -> dict[str, str]:
        """As ``Job.children_failures``."""
        return self._wait_for(self._job.children_failures())

    def _wait_for(self, coroutine: Coroutine[Any, Any, T]) -> T:
        try:
            _, loop = self._job._attached()
            if loop is None:
                return _finished(coroutine)
            if _running_loop() is loop:
                raise RuntimeError(
                    "job.sync would block the event loop: in an async def, await job.log(...) instead"
                )
            future = asyncio.run_coroutine_threadsafe(coroutine, loop)
        except BaseException:
            coroutine.close()
            raise
        return future.result()


def _finished(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return the result of a coroutine that blocks instead of waiting for a loop."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise RuntimeError("a blocking action of a job awaited an event loop")


def _row_of(value: object) -> str:
    try:
        row = bytes(value).decode(errors="replace") if isinstance(value, bytes | bytearray) else str(value)
    except Exception:
        row = f"(a {type(value).__name__} that cannot be shown)"
    if len(row) > LONGEST_ROW:
        row = f"{row[:LONGEST_ROW]}... (cut, of {len(row):,} characters)"
    if row.isascii():
        return row
    return row.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # joins surrogate pairs


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
