"""The producer's port to a broker: what ``JobQueue`` needs, in values."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from auth_worker.core.job_info import FlowTree
from auth_worker.core.ports.queue_changes import QueueChanger
from auth_worker.core.ports.values import ChangeResult
from auth_worker.errors import ConfigurationError

if TYPE_CHECKING:
    from auth_worker.core.ports.operator import JobReader  # and with it the models of the reports

NOT_ADDED = "NOTADDED"
"""The code of a ``BrokerError`` that refuses one job, such as for a missing parent. The broker itself works."""


class AddedJob(str):
    """The id of a job, which is a text, and whether the job is new or existed before.

    A job existed before if its ``job_id`` does, or its ``deduplication`` names a job that still counts. Then
    nothing was added, and the id is that job's. If the connection broke and a job with a ``job_id`` was sent
    again, the first attempt may be the one that existed.
    """

    __slots__ = ()
    created = True
    """Whether the job is new."""

    @property
    def id(self) -> str:
        """Its id."""
        return str(self)


class ExistingJob(AddedJob):
    """The id of a job that existed before."""

    __slots__ = ()
    created = False


JobRequest = tuple[Any, Any, Mapping[str, Any]]
"""A job to add, not validated yet: its name, its data and its options (those of ``core.job_options``)."""


class FlowRequest(NamedTuple):
    """A job to add to ``queue``, with the jobs that it waits for."""

    queue: str
    job: JobRequest
    children: tuple[FlowRequest, ...] = ()

    def options(self, place: str, parent: Mapping[str, str] | None) -> dict[str, Any]:
        """Return the options of the job, which is at ``place``, with its ``parent``.

        Raises ``ConfigurationError`` naming the place for options that a flow does not permit.
        """
        options = dict(self.job[2])
        if parent is not None:
            if options.get("parent") is not None:
                raise ConfigurationError(f"{place}: the parent of a child is the job above it; leave parent out")
            options["parent"] = dict(parent)
        if self.children and options.get("deduplication") is not None:
            raise ConfigurationError(f"{place}: a job with children cannot have deduplication")
        return options


class AddedFlow(NamedTuple):
    """A job that was added with its ``children``."""

    job: AddedJob
    queue_name: str
    children: tuple[AddedFlow, ...]


class FlowBroker(Protocol):
    """Adds trees of jobs, and reads them. Serves any number of event loops, threads and forked children.

    Methods raise as those of ``ProducerBroker``. ``trace`` is as in ``ProducerBroker.add_many``.
    """

    async def add(self, flows: Sequence[FlowRequest], trace: str | None = None) -> list[AddedFlow]:
        """Add the jobs of all ``flows`` in one step: all of them, or none. All are checked first.

        Raises ``ConfigurationError`` naming the place of an invalid job, such as ``flows[0].children[2]``, also if
        its queue is in another slot of a cluster.
        """

    async def read(self, queue: str, job_id: str, depth: int, most_children: int) -> FlowTree | None:
        """Read a job and its children, ``depth`` levels and ``most_children`` of each; None without the job."""

    async def close(self) -> None:
        """As in ``ProducerBroker``."""


class Ended(NamedTuple):
    """How a job ended: its result as JSON, or the ``failure``, its reason, and its last stack trace, if any."""

    value: str
    failure: str | None
    trace: str | None = None


class ProducerBroker(Protocol):
    """Adds jobs and job schedulers to one queue. Serves any number of event loops, threads and forked children.

    Each event loop has a connection of its own, which ends with the loop. ``connect`` comes before any other call
    in it. Methods raise ``ConfigurationError`` for a job that cannot be stored, naming what is wrong, and
    ``BrokerError`` when the broker refuses or cannot be reached.
    """

    @property
    def is_connected(self) -> bool:
        """Whether the running event loop has a connection."""

    async def connect(self) -> None:
        """Connect the running event loop, unless it is connected. Concurrent callers share the attempt."""

    def add(self, job: JobRequest, trace: str | None = None) -> Awaitable[AddedJob]:
        """Add a job and return its id, and whether it is new. ``trace`` is as in ``add_many``.

        Raises ``ConfigurationError`` before anything is awaited.
        """

    async def add_many(self, jobs: Iterable[JobRequest], trace: str | None = None) -> list[AddedJob]:
        """Add jobs and return their ids in order. All jobs are checked before the first one is sent.

        Errors about one of them start with its place, such as ``jobs[3]``. ``trace`` is a trace context as JSON,
        stored with the jobs that have none of their own and accept one.
        """

    async def upsert_scheduler(
        self, scheduler_id: str, repeat: Mapping[str, Any], template: JobRequest
    ) -> str | None:
        """Create or replace a job scheduler and return the id of its next job, None if none is left to come.

        ``repeat`` holds BullMQ's repeat options: ``every`` (ms), ``pattern``, ``tz``, ``limit``, ``startDate``,
        ``endDate``.
        """

    async def remove_scheduler(self, scheduler_id: str) -> bool:
        """Remove a job scheduler and its next job, and return whether there was one."""

    async def cancel(self, job_id: str, reason: str) -> ChangeResult:
        """Cancel a job: a waiting one fails at once, the worker of a running one is asked to stop it.

        So are the children that it waits for.
        """

    def jobs(self) -> JobReader:
        """Return a reader of the queue's jobs."""

    def changes(self) -> QueueChanger:
        """Return what changes the queue as a whole."""

    async def update_data(self, job_id: str, data: Any) -> bool:
        """Replace the data of a job, and return whether it exists. The data is checked as that of a new job."""

    async def wait_for(self, job_id: str) -> Ended | None:
        """Wait, without limit, for the end of a job; None if it does not exist, and no event says how it ended."""

    async def enter(self) -> None:
        """Count one more user of the running event loop's connection."""

    async def leave(self) -> None:
        """Count one user less, and disconnect the running event loop after the last one."""

    async def close(self) -> None:
        """Disconnect every event loop, after at most 2 s for jobs that are being added."""
