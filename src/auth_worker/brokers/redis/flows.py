"""Adds trees of jobs to BullMQ queues in Redis, each in one transaction, and reads them: the ``FlowBroker``."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

from auth_worker.brokers.opening import BrokerSource
from auth_worker.brokers.redis.job_encoder import JobEncoder
from auth_worker.brokers.redis.job_sender import JobSender
from auth_worker.brokers.redis.jobs import JobView
from auth_worker.brokers.redis.producer_links import ProducerLinks
from auth_worker.brokers.redis.scripts.loader import ScriptCall, short_call, whole_call
from auth_worker.config import Settings
from auth_worker.core.clock import now_ms
from auth_worker.core.flow_parents import FlowParents
from auth_worker.core.job_info import FlowTree, JobInfo
from auth_worker.core.keys import place_of, queue_key
from auth_worker.core.names import check_queue_name
from auth_worker.core.ports.producer import NOT_ADDED, AddedFlow, AddedJob, FlowRequest
from auth_worker.errors import BrokerError, BrokerUnavailableError, ConfigurationError
from auth_worker.system.loops import PerLoop


class RedisFlows:
    """Implements ``FlowBroker`` with one ``JobSender`` per event loop; in a cluster one for each hash tag."""

    def __init__(self, source: BrokerSource, settings: Settings, timeout: float) -> None:
        self._source = source
        self._settings = settings
        self._timeout = timeout
        self._senders: dict[str, PerLoop[JobSender]] = {}
        self._encoders: dict[str, JobEncoder] = {}

    async def add(self, flows: Sequence[FlowRequest], trace: str | None = None) -> list[AddedFlow]:
        """As in ``FlowBroker``."""
        queues = sorted({queue for flow in flows for queue in _queues_of(flow)})
        if not queues:
            return []
        for queue in queues:
            check_queue_name("queue", queue)
        sender = await self._sender(queues)
        plan = _Plan(self, sender, trace)
        for number, flow in enumerate(flows):
            plan.include(flow, f"flows[{number}]")
        await asyncio.gather(*(_check_parent(sender, *child) for child in plan.given.items()))
        added = iter(await sender.add_together(_packed(plan.calls)))
        return [_added(flow, added) for flow in flows]

    async def read(self, queue: str, job_id: str, depth: int, most_children: int) -> FlowTree | None:
        """As in ``FlowBroker``."""
        sender = await self._sender([check_queue_name("queue", queue)])
        view = JobView(sender.link, self._settings.prefix, queue)
        stored, state, children = await asyncio.gather(
            view.whole(job_id), view.state(job_id), view.children(job_id, most_children)
        )
        if stored is None:
            return None
        count = children.pending + children.processed + children.ignored + children.failed
        found: list[FlowTree | None] = []
        if depth > 1:
            places = filter(None, (place_of(key, self._settings.prefix) for key in children.keys[:most_children]))
            found = [await self.read(*place, depth - 1, most_children) for place in places]
        return FlowTree(JobInfo.of(queue, stored, state), tuple(filter(None, found)), count)

    async def close(self) -> None:
        """As in ``FlowBroker``. Stops the embedded broker if nobody else uses it."""
        for senders in list(self._senders.values()):
            await senders.close()
        await self._source.stop(lambda: not any(map(len, self._senders.values())))

    def encoder(self, queue: str) -> JobEncoder:
        """Return the encoder of the jobs of ``queue``."""
        if queue not in self._encoders:
            self._encoders[queue] = JobEncoder(queue, self._settings, {})
        return self._encoders[queue]

    def key_prefix(self, queue: str) -> str:
        """Return what a parent's option calls its queue."""
        return queue_key(self._settings.prefix, queue)

    async def _sender(self, queues: Sequence[str]) -> JobSender:
        """Return the running loop's sender for these queues, connected."""
        tag = self._source.address.serving(self._settings.prefix, *queues).tag or ""
        senders = self._senders.get(tag)
        if senders is None:
            links = ProducerLinks(
                self._source, prefix=self._settings.prefix, queue=queues[0], timeout=self._timeout
            )
            senders = self._senders.setdefault(tag, PerLoop(partial(JobSender, links.open, self._timeout)))
        sender = senders.get()
        if not sender.is_connected:
            await sender.connect()
        return sender


class _GivenChild(NamedTuple):
    """A child whose id was given, so that the job may exist: its place in the flows, and its parent's key."""

    place: str
    parent: str


async def _check_parent(sender: JobSender, key: str, child: _GivenChild) -> None:
    """Raise ``BrokerError`` if the job at ``key`` has another parent, before anything of its tree is added."""
    with contextlib.suppress(BrokerUnavailableError):  # adding waits for Redis, and says what is wrong
        former = await sender.link.execute("HGET", key, "parentKey")
        if former not in (None, child.parent.encode()) and await sender.link.execute("EXISTS", former):
            raise BrokerError(f"{child.place}: nothing was added: the job belongs to another parent", NOT_ADDED)


class _Plan:
    """The calls that add flows, each parent before its children. ``given``: children with a given id, by key."""

    def __init__(self, flows: RedisFlows, sender: JobSender, trace: str | None) -> None:
        self.calls: list[ScriptCall] = []
        self.given: dict[str, _GivenChild] = {}
        self._flows = flows
        self._parents = FlowParents()
        self._new_id = sender.new_id
        self._trace = trace
        self._now = now_ms()

    def include(self, flow: FlowRequest, place: str, parent: dict[str, str] | None = None) -> None:
        """Add the calls for ``flow``, which is at ``place``. Raises ``ConfigurationError`` naming the place."""
        name, data, _ = flow.job
        options = flow.options(place, parent)
        if self._trace is not None and not options.get("omit_context"):
            options.setdefault("telemetry_metadata", self._trace)
        given = options.get("job_id") or options.get("jobId")
        job_id = given or self._new_id()
        if parent is not None and (given or flow.children):
            self._check_parent(place, flow.queue, job_id, f"{parent['queue']}:{parent['id']}", bool(given))
        try:
            self.calls.append(
                self._flows.encoder(flow.queue).encode_node(
                    name, data, options, job_id=job_id, now=self._now, has_children=bool(flow.children)
                )
            )
        except ConfigurationError as error:
            raise ConfigurationError(f"{place}: {error}") from error
        own = {"id": job_id, "queue": self._flows.key_prefix(flow.queue)}
        for number, below in enumerate(flow.children):
            self.include(below, f"{place}.children[{number}]", own)

    def _check_parent(self, place: str, queue: str, job_id: str, parent: str, is_given: bool) -> None:
        """Raise ``ConfigurationError`` if the job cannot be a child of ``parent``."""
        key = f"{self._flows.key_prefix(queue)}:{job_id}"
        self._parents.record(place, key, parent)
        if is_given:
            first = self.given.setdefault(key, _GivenChild(place, parent))
            if first.parent != parent:
                raise ConfigurationError(f"{place}: the job has another parent already, at {first.place}")


def _packed(calls: Sequence[ScriptCall]) -> list[bytes]:
    """Pack calls so that Redis cannot have forgotten a script: the first call of each has its text."""
    packed: list[bytes] = []
    seen: set[str] = set()
    for call in calls:
        sha = call[0].sha
        packed.append(short_call(call) if sha in seen else whole_call(call))
        seen.add(sha)
    return packed


def _queues_of(flow: FlowRequest) -> Iterator[str]:
    yield flow.queue
    for child in flow.children:
        yield from _queues_of(child)


def _added(flow: FlowRequest, jobs: Iterator[AddedJob]) -> AddedFlow:
    job = next(jobs)
    return AddedFlow(job, flow.queue, tuple(_added(child, jobs) for child in flow.children))
