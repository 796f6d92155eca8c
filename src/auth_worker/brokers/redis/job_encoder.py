"""Validates new jobs, and encodes them as the calls that add them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from auth_worker.brokers.redis.additions import AddFrame, Additions
from auth_worker.brokers.redis.scripts.loader import ScriptCall
from auth_worker.brokers.redis.wire.call_types import Call
from auth_worker.brokers.redis.wire.discovery import hash_tag_of
from auth_worker.config import Settings
from auth_worker.core.job_data import encode_job_data
from auth_worker.core.job_options import JobOptions, job_options
from auth_worker.core.names import check_job_id
from auth_worker.errors import ConfigurationError

MOST_KINDS = 1000
PER_JOB_OPTIONS = frozenset(("jobId", "timestamp", "deduplication", "parent", "tm"))
"""Options that differ from job to job. Jobs with one of them are validated one by one."""


class _Kind(NamedTuple):
    """Validated options and their stored form, with a ``frame`` if jobs may share it.

    ``longest`` is the most bytes that the data of such a job may have.
    """

    options: JobOptions
    wire: dict[str, Any]
    longest: int
    frame: AddFrame | None


class JobEncoder:
    """Encodes jobs for one queue. ``defaults`` are the options of jobs that do not set their own. Thread-safe.

    ``tag`` is the hash tag that the parent of a job must have too, if the queue is in a Redis Cluster.
    Raises ``ConfigurationError`` for wrong ``defaults``.
    """

    def __init__(self, queue: str, settings: Settings, defaults: Mapping[str, Any], tag: str = "") -> None:
        self._settings = settings
        self._tag = tag
        self._additions = Additions(settings.prefix, queue)
        self._defaults = dict(defaults)
        job_options(self._defaults)
        self._kinds: dict[str, _Kind | None] = {}
        """By the options as they are given. None for those that only one job has had so far."""

    def template(self, name: Any, data: Any, given: Mapping[str, Any]) -> tuple[bytes, dict[str, Any]]:
        """Return data and options of a scheduler's jobs in their stored form. Raises ``ConfigurationError``."""
        kind = self._check(given)
        return self._data(name, {} if data is None else data, kind.longest), kind.wire

    def data(self, name: str, data: Any) -> bytes:
        """Encode the data of the job that errors call ``name``. Raises ``ConfigurationError``."""
        return self._data(name, data, self._settings.max_payload_bytes)

    def encode(
        self,
        name: Any,
        data: Any,
        given: Mapping[str, Any],
        *,
        new_id: Callable[[], str],
        now: int,
        trace: str | None = None,
    ) -> Call:
        """Encode the call that adds one job. ``new_id`` creates its id unless the options set one.

        ``trace`` is the trace context to store, unless the job has its own or declines one. ``now`` is epoch ms.
        Raises ``ConfigurationError`` naming what cannot be added.
        """
        options, wire, longest, frame = self._kinds.get(repr(given)) or self._check(given)
        if trace is not None and not options.omit_context:
            wire, frame = {"tm": trace, **wire}, None
        text = self._data(name, data, longest)
        job_id = check_job_id(options.job_id) if options.job_id is not None else new_id()
        try:
            if frame is not None:
                return frame.call((name, text, job_id, now))
            return self._additions.call((name, text, job_id, options.timestamp or now), wire)
        except UnicodeEncodeError as error:
            raise ConfigurationError(f"job {name!r} cannot be written as UTF-8: {error.reason}") from error

    def encode_node(
        self, name: Any, data: Any, given: Mapping[str, Any], *, job_id: str, now: int, has_children: bool
    ) -> ScriptCall:
        """Encode the call that adds one job of a flow. Raises ``ConfigurationError`` naming what is wrong."""
        options, wire, longest, _ = self._check(given)
        text = self._data(name, data, longest)
        job = (name, text, check_job_id(job_id), options.timestamp or now)
        try:
            return self._additions.build(job, wire, has_children=has_children)
        except UnicodeEncodeError as error:
            raise ConfigurationError(f"job {name!r} cannot be written as UTF-8: {error.reason}") from error

    def _check(self, given: Mapping[str, Any]) -> _Kind:
        """Validate a job's options. From the second job on, jobs with the same options share the result."""
        options = job_options({**self._defaults, **given})
        if self._tag and options.parent is not None and hash_tag_of(options.parent.queue) != self._tag:
            raise ConfigurationError(
                f"parent: its queue {options.parent.queue!r:.80} is in another slot of the Redis Cluster: the "
                f"jobs of a tree are in queues with the same hash tag, here {{{self._tag}}}"
            )
        wire = options.wire()
        most = self._settings.max_payload_bytes
        unframed = _Kind(options, wire, min(options.size_limit or most, most), None)
        if not PER_JOB_OPTIONS.isdisjoint(wire):
            return unframed
        key = repr(given)
        if key not in self._kinds:  # a frame pays off from the second job on, and each job may have its own delay
            if len(self._kinds) >= MOST_KINDS:
                self._kinds.clear()
            self._kinds[key] = None
            return unframed
        kind = self._kinds[key] = unframed._replace(frame=self._additions.frame(wire))
        return kind

    def _data(self, name: Any, data: Any, longest: int) -> bytes:
        return encode_job_data(name, data, longest, self._settings.max_payload_bytes)
