"""Flows in memory: the broker of a ``FlowProducer`` in a test."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence

from auth_worker.config import Settings
from auth_worker.core.flow_parents import FlowParents
from auth_worker.core.job_info import FlowTree
from auth_worker.core.keys import queue_key
from auth_worker.core.names import check_queue_name
from auth_worker.core.ports.producer import AddedFlow, AddedJob, FlowRequest
from auth_worker.errors import ConfigurationError
from auth_worker.testing.store import JobStore
from auth_worker.testing.stored_jobs import MemoryJob, NewJob


class MemoryFlows:
    """Implements ``FlowBroker``. ``after_add`` is awaited after each addition."""

    def __init__(self, store: JobStore, settings: Settings, after_add: Callable[[], Awaitable[None]]) -> None:
        self._store = store
        self._most = settings.max_payload_bytes
        self._after_add = after_add

    async def add(self, flows: Sequence[FlowRequest], trace: str | None = None) -> list[AddedFlow]:
        """As in ``FlowBroker``."""
        new: list[NewJob] = []
        parents = FlowParents()
        for number, flow in enumerate(flows):
            self._prepare(flow, f"flows[{number}]", None, parents, new)
        with self._store.lock:
            jobs = iter([self._store.add(each) for each in new])
        added = [_added(flow, jobs) for flow in flows]
        await self._after_add()
        return added

    async def read(self, queue: str, job_id: str, depth: int, most_children: int) -> FlowTree | None:
        """As in ``FlowBroker``."""
        job = self._store.find(queue, job_id)
        return None if job is None else _tree(job, depth, most_children)

    async def close(self) -> None:
        """Nothing to disconnect."""

    def _prepare(
        self,
        flow: FlowRequest,
        place: str,
        parent: dict[str, str] | None,
        parents: FlowParents,
        new: list[NewJob],
    ) -> None:
        """Check a flow, and append its jobs to ``new``, each parent before its children."""
        check_queue_name("queue", flow.queue)
        name, data, _ = flow.job
        options = flow.options(place, parent)
        try:
            job = self._store.prepare(flow.queue, (name, data, options), {}, self._most)
        except ConfigurationError as error:
            raise ConfigurationError(f"{place}: {error}") from error
        new.append(job)
        own = {"id": job.id, "queue": queue_key(self._store.prefix, flow.queue)}
        if parent is not None:
            parents.record(place, f"{own['queue']}:{own['id']}", f"{parent['queue']}:{parent['id']}")
        for number, child in enumerate(flow.children):
            self._prepare(child, f"{place}.children[{number}]", own, parents, new)


def _added(flow: FlowRequest, jobs: Iterator[AddedJob]) -> AddedFlow:
    job = next(jobs)
    return AddedFlow(job, flow.queue, tuple(_added(child, jobs) for child in flow.children))


def _tree(job: MemoryJob, depth: int, most_children: int) -> FlowTree:
    children = list(job.children.values())[:most_children] if depth > 1 else []
    found = tuple(_tree(child, depth - 1, most_children) for child in children if not child.removed)
    return FlowTree(job.info, found, len(job.children))
