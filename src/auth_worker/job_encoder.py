"""Checks new jobs, and encodes them as the calls that add them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from auth_worker.broker.additions import AddFrame, Additions
from auth_worker.broker.calls import Call
from auth_worker.config import Settings
from auth_worker.errors import ConfigurationError
from auth_worker.job_options import JobOptions, job_options
from auth_worker.names import check_job_id
from auth_worker.outcome import encode_json

MOST_KINDS = 1000
PARTS = frozenset(("name", "data", "opts"))
PERSONAL = frozenset(("jobId", "timestamp", "deduplication", "parent", "tm"))
"""Options that differ from job to job: those with one of them are checked anew for each."""


class _Kind(NamedTuple):
    """Options that were checked, and as they are stored; with a ``frame`` where jobs may share them.

    ``longest`` is the most bytes that the data of such a job may have.
    """

    options: JobOptions
    wire: dict[str, Any]
    longest: int
    frame: AddFrame | None


class JobEncoder:
    """Encodes jobs for one queue; ``defaults`` are the options of jobs that do not say otherwise.

    For any thread and any event loop. Raises ``ConfigurationError`` for wrong ``defaults``.
    """

    def __init__(self, queue: str, settings: Settings, defaults: Mapping[str, Any]) -> None:
        self._settings = settings
        self._additions = Additions(settings.prefix, queue)
        self._defaults = dict(defaults)
        job_options(self._defaults)
        self._kinds: dict[str, _Kind | None] = {}
        """By the options as they are given; None for those that one job had so far."""

    def template(self, name: Any, data: Any, given: Mapping[str, Any]) -> tuple[bytes, dict[str, Any]]:
        """Data and options of the jobs of a scheduler, as they are stored. Raises ``ConfigurationError``."""
        kind = self._check(given)
        return self._data(name, {} if data is None else data, kind.longest), kind.wire

    def encode(
        self,
        name: Any,
        data: Any,
        given: Mapping[str, Any],
        *,
        new_id: Callable[[], str],
        now: int,
        metadata: str | None = None,
    ) -> Call:
        """The call that adds one job; ``new_id`` makes its id unless the options name one.

        ``metadata`` is its trace, unless the job has its own or wants none. ``now`` is epoch ms.
        Raises ``ConfigurationError`` for what cannot be added, naming it.
        """
        options, wire, longest, frame = self._kinds.get(repr(given)) or self._check(given)
        if metadata is not None and not options.omit_context:
            wire, frame = {"tm": metadata, **wire}, None
        text = self._data(name, data, longest)
        job_id = check_job_id(options.job_id) if options.job_id is not None else new_id()
        try:
            if frame is not None:
                return frame.call((name, text, job_id, now))
            return self._additions.call((name, text, job_id, options.timestamp or now), wire)
        except UnicodeEncodeError as error:
            raise ConfigurationError(f"job {name!r} cannot be written as UTF-8: {error.reason}") from error

    def _check(self, given: Mapping[str, Any]) -> _Kind:
        """Check a job's options; the result serves for every job with the same ones, from the second on."""
        options = job_options({**self._defaults, **given})
        wire = options.wire()
        most = self._settings.max_payload_bytes
        unframed = _Kind(options, wire, min(options.size_limit or most, most), None)
        if not PERSONAL.isdisjoint(wire):
            return unframed
        key = repr(given)
        if key not in self._kinds:  # a frame pays from the second job on, and each job may have a delay of its own
            if len(self._kinds) >= MOST_KINDS:
                self._kinds.clear()
            self._kinds[key] = None
            return unframed
        kind = self._kinds[key] = unframed._replace(frame=self._additions.frame(wire))
        return kind

    def _data(self, name: Any, data: Any, longest: int) -> bytes:
        """The data of a job ``name`` as JSON of at most ``longest`` bytes."""
        if not isinstance(name, str) or not name:
            raise ConfigurationError(f"name must be a text that is not empty, not {name!r:.80}")
        try:
            text = encode_json(data)
        except (TypeError, ValueError, RecursionError) as error:
            raise ConfigurationError(f"data of job {name!r} is not JSON: {error}") from error
        if len(text) > longest:
            raise self._too_long(name, len(text), longest)
        return text

    def _too_long(self, name: str, length: int, longest: int) -> ConfigurationError:
        what = "max_payload_bytes" if longest == self._settings.max_payload_bytes else "size_limit"
        return ConfigurationError(f"data of job {name!r} has {length} bytes, more than {what} allows: {longest}")


def parts_of(job: Mapping[str, Any]) -> tuple[Any, Any, Mapping[str, Any]]:
    """Name, data and options of a job of ``add_bulk``. Raises ``ConfigurationError`` for anything else in it."""
    if not PARTS.issuperset(job):
        unknown = ", ".join(sorted(map(str, set(job) - PARTS)))
        raise ConfigurationError(f"a job has name, data and opts, not {unknown}")
    return job.get("name"), job.get("data"), job.get("opts") or {}
