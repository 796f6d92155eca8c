"""Flows: trees of jobs, in which each parent runs once its children have finished.

::

    report = Flow("report", queue="reports", children=[
        Flow("fetch", {"page": 1}, queue="pages", attempts=5),
        Flow("fetch", {"page": 2}, queue="pages", ignore_dependency_on_failure=True),
    ])
    added = await flow.add(report)          # on the broker of the settings, all jobs in one step or none
    tree = await flow.get("reports", added.job)

The parent's consumer reads the results with ``await job.children_values()``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from functools import cache, cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from auth_worker.brokers.opening import flow_broker, redirections
from auth_worker.core.job_info import FlowTree, JobInfo
from auth_worker.core.job_options_dict import JobOptionsDict
from auth_worker.core.ports.producer import AddedFlow, FlowBroker, FlowRequest
from auth_worker.errors import BrokerUnavailableError, ConfigurationError
from auth_worker.observability.telemetry import open_telemetry
from auth_worker.queue import ADD_TIMEOUT, SYNC_TIMEOUT
from auth_worker.queue.sync_calls import SyncCalls
from auth_worker.system.main_reimport import stop_reimported_main

if TYPE_CHECKING:
    from auth_worker.config import Settings

__all__ = [
    "AddedFlow",
    "Flow",
    "FlowProducer",
    "FlowTree",
    "JobInfo",
    "SyncFlowProducer",
    "add",
    "add_bulk",
    "get",
]

DEPTH = 10
MOST_CHILDREN = 100
"""How many levels, and how many children of each job, ``get`` reads by default."""


class Flow:
    """A job ``name`` of ``queue``, to be added with its ``children``, which are flows themselves.

    It runs once all its children have finished. ``data`` and ``options`` are as in ``JobQueue.add``. What the
    failure of a child means for its parent is an option of the child.
    """

    def __init__(
        self,
        name: str,
        data: Any = None,
        *,
        queue: str,
        children: Iterable[Flow] = (),
        **options: Unpack[JobOptionsDict],
    ) -> None:
        self.name = name
        self.data = {} if data is None else data
        self.queue = queue
        self.children = tuple(children)
        self.options = options
        self.producer: FlowProducer | None = None
        """What ``flow.add`` adds it with; None: what the settings say."""

    def after(self, *children: Flow) -> Flow:
        """Return the same flow with these children besides its own: its job runs after them."""
        children = (*self.children, *children)
        flow = Flow(self.name, self.data, queue=self.queue, children=children, **self.options)
        flow.producer = self.producer
        return flow

    def request(self) -> FlowRequest:
        """Return the flow as the broker takes it."""
        job = (self.name, self.data, self.options)
        return FlowRequest(self.queue, job, tuple(child.request() for child in self.children))


class FlowProducer:
    """Adds flows and reads them. Connects at first use, and serves any event loop, thread and forked child.

    ``connection``, ``settings``, ``timeout`` and ``sync_timeout`` (s) are as in ``JobQueue``.
    """

    def __init__(
        self,
        connection: Any = None,
        *,
        settings: Settings | None = None,
        timeout: float = ADD_TIMEOUT,
        sync_timeout: float = SYNC_TIMEOUT,
    ) -> None:
        if settings is None:
            from auth_worker.config import Settings

            settings = Settings()
        self.settings = settings
        self.timeout = timeout
        self._connection = connection
        self._sync_timeout = sync_timeout
        self._own_broker = flow_broker(connection, self.settings, timeout)

    @cached_property
    def sync(self) -> SyncFlowProducer:
        """The same for code without an event loop, with a timeout of ``sync_timeout`` s."""
        return SyncFlowProducer(FlowProducer(self._connection, settings=self.settings, timeout=self._sync_timeout))

    async def add(self, flow: Flow) -> AddedFlow:
        """Add the jobs of a flow in one step, and return their ids as the same tree.

        A ``job_id`` that exists already adds no job for it, as in ``JobQueue.add``. Raises ``ConfigurationError``
        naming the place of the job that is wrong, as ``flows[0].children[2]``, before anything is added, and
        ``BrokerError`` if Redis refuses the flow or cannot be reached.
        """
        return (await self.add_bulk([flow]))[0]

    async def add_bulk(self, flows: Iterable[Flow]) -> list[AddedFlow]:
        """Add several flows in one step: all jobs of all of them, or none. Raises as ``add``."""
        stop_reimported_main()
        try:
            requests = [flow.request() for flow in flows]
        except RecursionError:
            raise ConfigurationError(
                "flows: one has more levels of children than Python's recursion limit allows"
            ) from None
        telemetry = open_telemetry(self.settings, self.settings.name or "")
        if telemetry is None or not requests:
            return await self._broker.add(requests)
        jobs = [{"name": request.job[0]} for request in requests]
        with telemetry.adding(requests[0].queue, jobs) as adding:
            added = await self._broker.add(requests, adding.metadata)
            adding.added([flow.job for flow in added])
            return added

    async def get(
        self, queue: str, job_id: str, *, depth: int = DEPTH, most_children: int = MOST_CHILDREN
    ) -> FlowTree | None:
        """Read the job and its children, ``depth`` levels and ``most_children`` of each; None without the job.

        Raises ``BrokerError``.
        """
        try:
            async with asyncio.timeout(self.timeout):
                return await self._broker.read(queue, job_id, depth, most_children)
        except TimeoutError:
            raise BrokerUnavailableError(f"queue {queue}: no answer within {self.timeout:g} s") from None

    async def close(self) -> None:
        """Disconnect in every event loop. The next call connects again."""
        await self._broker.close()
        if "sync" in vars(self):
            await asyncio.to_thread(self.sync.close)

    @property
    def _broker(self) -> FlowBroker:
        return redirections[-1].flows(self.settings, self.timeout) if redirections else self._own_broker

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class SyncFlowProducer(SyncCalls):
    """What ``FlowProducer`` does, for Flask, Django and scripts: each method blocks until it is done.

    Any thread and any forked child may use it, as ``JobQueue.sync``, with which it shares the event loop.
    """

    def __init__(self, flows: FlowProducer) -> None:
        """Wrap ``flows``, which nobody else uses and whose timeout is that of these calls."""
        super().__init__("flows", flows.timeout, flows.close)
        self._flows = flows

    def add(self, flow: Flow) -> AddedFlow:
        """As ``FlowProducer.add``."""
        return self.run(self._flows.add(flow))

    def add_bulk(self, flows: Iterable[Flow]) -> list[AddedFlow]:
        """As ``FlowProducer.add_bulk``."""
        return self.run(self._flows.add_bulk(list(flows)))

    def get(
        self, queue: str, job_id: str, *, depth: int = DEPTH, most_children: int = MOST_CHILDREN
    ) -> FlowTree | None:
        """As ``FlowProducer.get``."""
        return self.run(self._flows.get(queue, job_id, depth=depth, most_children=most_children))


@cache
def _default() -> FlowProducer:
    return FlowProducer()


async def add(flow: Flow) -> AddedFlow:
    """Add a flow as ``FlowProducer.add``, on the broker of its task's queue, else on that of the settings."""
    return await (flow.producer or _default()).add(flow)


async def add_bulk(flows: Sequence[Flow]) -> list[AddedFlow]:
    """Add several flows as ``FlowProducer.add_bulk``, where the first of them is added."""
    return await (flows[0].producer if flows and flows[0].producer else _default()).add_bulk(flows)


async def get(queue: str, job_id: str, *, depth: int = DEPTH) -> FlowTree | None:
    """Read a flow on the broker of the settings, as ``FlowProducer.get``."""
    return await _default().get(queue, job_id, depth=depth)
