"""JobQueue: the producer side. Puts jobs on a BullMQ queue, for workers in Python or Node."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from auth_worker.broker.additions import AddFrame, add_scripts
from auth_worker.broker.address import Address
from auth_worker.broker.connection import Call
from auth_worker.broker.embedded import EmbeddedBroker
from auth_worker.broker.link import Link
from auth_worker.broker.producer import Producer
from auth_worker.broker.schedulers import Schedulers
from auth_worker.config import Backoff, Retention, Settings
from auth_worker.config_errors import configuration_error
from auth_worker.errors import ConfigurationError
from auth_worker.names import check_job_id, check_queue_name
from auth_worker.outcome import encode_json
from auth_worker.telemetry import open_telemetry

if TYPE_CHECKING:
    from auth_worker.telemetry.tracing import Telemetry

ADD_TIMEOUT = 10.0
MAX_PRIORITY = 2**21 - 1
LONGEST_DELAY = 10 * 365 * 86_400_000
MOST_KINDS = 1000
PARTS = frozenset(("name", "data", "opts"))
PERSONAL = frozenset(("jobId", "timestamp", "deduplication", "parent", "tm"))
"""Options that differ from job to job: those with one of them are judged anew for each."""


class JobOptions(BaseModel):
    """The options of one job, as BullMQ's ``JobsOptions``; snake_case here, camelCase accepted too.

    ``delay`` is ms. What is None is left to the worker and to BullMQ. ``telemetry_metadata`` is the trace the job
    belongs to, a carrier as JSON; without it, and without ``omit_context``, that is the caller's.
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True, alias_generator=to_camel)

    job_id: str | None = None
    delay: int | None = Field(default=None, ge=0, le=LONGEST_DELAY)
    attempts: int | None = Field(default=None, ge=0, le=1000)
    backoff: int | Backoff | None = None
    priority: int | None = Field(default=None, ge=0, le=MAX_PRIORITY)
    lifo: bool | None = None
    timestamp: int | None = Field(default=None, ge=0)
    remove_on_complete: bool | int | Retention | None = None
    remove_on_fail: bool | int | Retention | None = None
    keep_logs: int | None = Field(default=None, ge=0)
    stack_trace_limit: int | None = Field(default=None, ge=0)
    size_limit: int | None = Field(default=None, ge=1, exclude=True)
    deduplication: dict[str, Any] | None = None
    parent: dict[str, str] | None = None
    fail_parent_on_failure: bool | None = None
    continue_parent_on_failure: bool | None = None
    ignore_dependency_on_failure: bool | None = None
    remove_dependency_on_failure: bool | None = None
    telemetry_metadata: str | None = Field(
        default=None, validation_alias=AliasChoices("telemetryMetadata", "tm"), serialization_alias="tm"
    )
    omit_context: bool | None = Field(
        default=None, validation_alias=AliasChoices("omitContext", "omc"), serialization_alias="omc"
    )

    def wire(self) -> dict[str, Any]:
        """What goes into Redis: BullMQ's names, without what was not said."""
        return self.model_dump(by_alias=True, exclude_none=True)


class _Kind(NamedTuple):
    """Options that were checked, and as they are stored; with a ``frame`` where jobs may share them.

    ``longest`` is the most bytes that the data of such a job may have.
    """

    options: JobOptions
    wire: dict[str, Any]
    longest: int
    frame: AddFrame | None


class JobQueue:
    """Adds jobs to the queue ``name``. Connects with the first job.

    ``connection``: a URL, a mapping, a redis.asyncio.Redis; None means the settings, and without any the embedded
    broker. ``default_options`` are given to every job that does not say otherwise.
    Raises ``ConfigurationError`` naming the argument that is wrong.
    """

    def __init__(
        self,
        name: str,
        connection: Any = None,
        *,
        settings: Settings | None = None,
        default_options: Mapping[str, Any] | None = None,
        timeout: float = ADD_TIMEOUT,
    ) -> None:
        self.name = check_queue_name("name", name)
        self.settings = settings or Settings()
        if connection is None and self.settings.redis_url is not None:
            connection = self.settings.redis_url.get_secret_value()
        self._embedded = EmbeddedBroker(self.settings.state_dir) if connection is None else None
        self._address = (
            Address.of(connection).serving(self.settings.prefix, name) if connection is not None else None
        )
        self._defaults = dict(default_options or {})
        job_options(self._defaults)
        self._kinds: dict[str, _Kind | None] = {}
        """By the options as they are given; None for those that one job had so far."""
        self._timeout = timeout
        self._connecting = asyncio.Lock()
        self._link: Link | None = None
        self._producer: Producer | None = None
        self._telemetry: Telemetry | None = None

    async def add(self, name: str, data: Any, **options: Any) -> str:
        """Add a job; returns its id. Adding an id that exists already adds nothing and returns that id.

        Raises ``ConfigurationError`` for a wrong option or data that is not JSON, naming it, and ``BrokerError``
        when Redis refuses or cannot be reached.
        """
        producer = self._producer or await self._connect()
        if self._telemetry is not None:
            return (await self.add_bulk([{"name": name, "data": data, "opts": options}]))[0]
        call = self._call(producer, name, data, options, round(time.time() * 1000), None)
        return await producer.add_one(call, self._timeout)

    async def add_bulk(self, jobs: Iterable[Mapping[str, Any]]) -> list[str]:
        """Add many jobs, each ``{"name", "data", "opts"}``; returns their ids in order.

        Every job is checked before the first one is sent. Raises as ``add``.
        """
        producer = await self._connect()
        if self._telemetry is None:
            return await self._add(producer, jobs)
        jobs = list(jobs)
        with self._telemetry.adding(self.name, jobs) as adding:
            ids = await self._add(producer, jobs, adding.metadata)
            adding.added(ids)
            return ids

    async def _add(
        self, producer: Producer, jobs: Iterable[Mapping[str, Any]], metadata: str | None = None
    ) -> list[str]:
        now = round(time.time() * 1000)
        calls = [self._call(producer, *_parts(job), now, metadata) for job in jobs]
        return await producer.add(calls, self._timeout)

    async def upsert_job_scheduler(
        self,
        scheduler_id: str,
        *,
        name: str,
        data: Any = None,
        every: int | None = None,
        pattern: str | None = None,
        tz: str | None = None,
        limit: int | None = None,
        start_date: int | None = None,
        end_date: int | None = None,
        **options: Any,
    ) -> str | None:
        """Add a job again and again: ``every`` ms, or by a cron ``pattern`` in the time zone ``tz``.

        ``limit`` bounds the number of jobs; dates are epoch ms. A scheduler of that id is replaced. Returns the
        id of the next job, None if none is left to come. Raises ``ConfigurationError`` and ``BrokerError``.
        """
        await self._connect()
        repeat = {
            "every": every,
            "pattern": pattern,
            "tz": tz,
            "limit": limit,
            "startDate": start_date,
            "endDate": end_date,
        }
        given = {key: value for key, value in repeat.items() if value is not None}
        wire = job_options({**self._defaults, **options}).wire()
        return await self._schedulers().upsert(scheduler_id, given, name, data, wire)

    async def remove_job_scheduler(self, scheduler_id: str) -> bool:
        """Remove a job scheduler and its next job; returns whether there was one. Raises ``BrokerError``."""
        await self._connect()
        return await self._schedulers().remove(scheduler_id)

    def _schedulers(self) -> Schedulers:
        assert self._link is not None  # noqa: S101 - connected by the caller
        return Schedulers(self._link, self.settings.prefix, self.name)

    async def close(self) -> None:
        """Disconnect."""
        link, self._link, self._producer = self._link, None, None
        if link is not None:
            await link.stop()
            if self._embedded is not None:
                await asyncio.to_thread(self._embedded.stop)

    async def __aenter__(self) -> Self:
        await self._connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _call(
        self, producer: Producer, name: Any, data: Any, given: Mapping[str, Any], now: int, metadata: str | None
    ) -> Call:
        """What adds one job; ``metadata`` is its trace, unless the job has its own or wants none."""
        if not isinstance(name, str) or not name:
            raise ConfigurationError(f"name must be a text that is not empty, not {name!r:.80}")
        options, wire, longest, frame = self._kinds.get(repr(given)) or self._judge(producer, given)
        if metadata is not None and not options.omit_context:
            wire, frame = {"tm": metadata, **wire}, None
        try:
            text = encode_json(data)
        except (TypeError, ValueError, RecursionError) as error:
            raise ConfigurationError(f"data of job {name!r} is not JSON: {error}") from error
        if len(text) > longest:
            raise self._too_long(name, len(text), longest)
        job_id = check_job_id(options.job_id) if options.job_id is not None else producer.new_id()
        try:
            if frame is not None:
                return frame.call((name, text, job_id, now))
            return producer.additions.call((name, text, job_id, options.timestamp or now), wire)
        except UnicodeEncodeError as error:
            raise ConfigurationError(f"job {name!r} cannot be written as UTF-8: {error.reason}") from error

    def _judge(self, producer: Producer, given: Mapping[str, Any]) -> _Kind:
        """Check a job's options; what is found serves for every job with the same ones, from the second on."""
        options = job_options({**self._defaults, **given})
        wire = options.wire()
        longest = min(options.size_limit or self.settings.max_payload_bytes, self.settings.max_payload_bytes)
        unframed = _Kind(options, wire, longest, None)
        if not PERSONAL.isdisjoint(wire):
            return unframed
        key = repr(given)
        if key not in self._kinds:  # a frame pays from the second job on, and each job may have a delay of its own
            if len(self._kinds) >= MOST_KINDS:
                self._kinds.clear()
            self._kinds[key] = None
            return unframed
        kind = self._kinds[key] = unframed._replace(frame=producer.additions.frame(wire))
        return kind

    def _too_long(self, name: str, length: int, longest: int) -> ConfigurationError:
        what = "max_payload_bytes" if longest == self.settings.max_payload_bytes else "size_limit"
        return ConfigurationError(f"data of job {name!r} has {length} bytes, more than {what} allows: {longest}")

    async def _connect(self) -> Producer:
        if self._producer is not None:
            return self._producer
        async with self._connecting:
            if self._producer is None:
                if self._embedded is not None:
                    self._address = Address.of(await asyncio.to_thread(self._embedded.start))
                assert self._address is not None  # noqa: S101 - set here or by the constructor
                link = Link(
                    self._address,
                    name=f"producer {self.name}",
                    client_name=f"auth-worker:producer:{self.name}",
                    scripts=add_scripts(),
                )
                await link.start(self._timeout)
                self._telemetry = open_telemetry(self.settings, self.settings.name or "")
                self._link = link
                self._producer = Producer(link, self.settings.prefix, self.name)
        return self._producer


def _parts(job: Mapping[str, Any]) -> tuple[Any, Any, Mapping[str, Any]]:
    if not PARTS.issuperset(job):
        unknown = ", ".join(sorted(map(str, set(job) - PARTS)))
        raise ConfigurationError(f"a job has name, data and opts, not {unknown}")
    return job.get("name"), job.get("data"), job.get("opts") or {}


def job_options(options: Mapping[str, Any]) -> JobOptions:
    """Check a job's options. Raises ``ConfigurationError`` naming the field."""
    try:
        return JobOptions(**options)
    except ValidationError as error:
        raise configuration_error("job options", error, JobOptions) from error
