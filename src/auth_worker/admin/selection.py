"""Selects the jobs and dead letters that an operation applies to, for every interface.

A selection is a state, a reason, a filter or ids. The command line and HTTP only parse their input into these.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable
from typing import Any, Literal

from auth_worker.admin.failures import normalized, top_frame
from auth_worker.admin.job_conditions import Condition, glob_matches
from auth_worker.admin.visible_data import encodable_text
from auth_worker.core.camel_model import CamelModel
from auth_worker.core.config_errors import nearest
from auth_worker.core.dead_letter import DeadLetter
from auth_worker.core.json_codec import decode_json
from auth_worker.core.outcome import ReasonClass
from auth_worker.core.ports.values import STATES, LargeField, StoredJob
from auth_worker.errors import ConfigurationError

STATES_BY_INTEREST = (
    *("failed", "active", "wait", "prioritized", "paused", "delayed", "waiting-children", "completed"),
)
"""The order in which states are searched and shown: those that need attention first."""
ALIASES = {"waiting": "wait", "dead": "failed"}
"""Common names of states, and BullMQ's names for them."""
FINISHED = ("completed", "failed")
PAGE, SMALL_PAGE = 100, 20
"""How many jobs or dead letters to read at a time.

It is the small page if their data is needed, so that other threads get a turn in between.
"""
SCAN = 10_000
"""How many jobs or dead letters a search reads before it stops and offers to be continued."""
MOST_SELECTED = 100_000
"""The most jobs or dead letters of one bulk operation."""
_LARGE: dict[str, LargeField] = {"data": "data", "returnvalue": "return_value"}


def checked_state(state: str) -> str:
    """Return BullMQ's name of a state. Raises ``ConfigurationError`` with the known names and the nearest one."""
    return _checked(ALIASES.get(state, state), "state", STATES)


def checked_finished_state(state: str) -> str:
    """Return ``completed`` or ``failed``. Raises ``ConfigurationError`` as ``checked_state`` does."""
    return _checked(ALIASES.get(state, state), "state of finished jobs", FINISHED)


def checked_reason(reason: str) -> str:
    """Return the ``reasonClass`` of a dead letter. Raises ``ConfigurationError`` as ``checked_state`` does."""
    return _checked(reason, "reason class", ReasonClass)


def _checked(given: str, what: str, known: Iterable[str]) -> str:
    known = [str(each) for each in known]
    if given not in known:
        raise ConfigurationError(
            f"{given!r:.80} is no {what}: there are {', '.join(known)}{nearest(given[:80], known)}"
        )
    return given


class JobFilter(CamelModel):
    """A filter of jobs; None matches anything. ``id``, ``name`` and ``worker`` may contain ``*``.

    ``text`` is a part of the reason of a failure, ``error_group`` that reason ``normalized``, ``frame`` its
    ``top_frame``. ``worker`` is the one that took the job last. ``older_than`` and ``newer_than`` are s since the
    job finished, or else was added.
    """

    id: str | None = None
    name: str | None = None
    text: str | None = None
    error_group: str | None = None
    frame: str | None = None
    worker: str | None = None
    where: tuple[Condition, ...] = ()
    older_than: float | None = None
    newer_than: float | None = None

    @property
    def restricts(self) -> bool:
        """Whether it excludes anything."""
        return self != ALL

    @property
    def needs_job(self) -> bool:
        """Whether more than a job's id must be read to decide."""
        asked = (self.name, self.text, self.error_group, self.frame, self.worker, self.older_than, self.newer_than)
        return bool(self.where) or any(value is not None for value in asked)

    @property
    def large(self) -> tuple[LargeField, ...]:
        """The large fields of a job that must be read to decide."""
        roots = sorted({condition.path[0] for condition in self.where})
        found = tuple(_LARGE[root] for root in roots if root in _LARGE)
        return found if self.frame is None else (*found, "stacktrace")

    def matches_id(self, job_id: str) -> bool:
        """Whether the id matches."""
        return self.id is None or glob_matches(self.id, job_id)

    def matches(self, job: StoredJob, now_ms: int) -> bool:
        """Whether the job matches, in all but its id. ``now_ms`` is the time (epoch ms)."""
        if self.name is not None and not glob_matches(self.name, job.name):
            return False
        if self.text is not None and self.text.casefold() not in (job.failed_reason or "").casefold():
            return False
        if self.error_group is not None and normalized(job.failed_reason or "") != self.error_group:
            return False
        if self.frame is not None and top_frame(job.stacktrace) != self.frame:
            return False
        if self.worker is not None and not glob_matches(self.worker, job.worker or ""):
            return False
        stamp = job.timestamp if job.finished_on is None else job.finished_on
        if not _in_time(stamp, now_ms, self.older_than, self.newer_than):
            return False
        if not self.where:
            return True
        stored = {"data": job.data, "opts": job.opts, "returnvalue": job.return_value}
        read = {root: _json(text) for root, text in stored.items()}
        return all(condition.holds(read) for condition in self.where)


class DeadLetterFilter(CamelModel):
    """A filter of dead letters; None matches anything.

    ``queue``, ``job_id`` and ``name`` are those of the job, ``text`` is a part of the reason. ``where`` are
    conditions on the job's data and options, ``older_than`` and ``newer_than`` are in s.
    """

    queue: str | None = None
    job_id: str | None = None
    reason_class: str | None = None
    text: str | None = None
    name: str | None = None
    where: tuple[Condition, ...] = ()
    older_than: float | None = None
    newer_than: float | None = None

    @property
    def restricts(self) -> bool:
        """Whether it excludes anything."""
        return self != EVERY

    def matches(self, letter: DeadLetter, now_ms: int) -> bool:
        """Whether the dead letter matches. ``now_ms`` is the time (epoch ms)."""
        data = letter.data if isinstance(letter.data, dict) else {}
        return (
            self.queue in (None, data.get("originalQueue"))
            and self.job_id in (None, data.get("originalJobId"))
            and self.reason_class in (None, data.get("reasonClass"))
            and (self.text is None or self.text.casefold() in encodable_text(data.get("failedReason")).casefold())
            and (self.name is None or glob_matches(self.name, letter.name))
            and _in_time(letter.timestamp, now_ms, self.older_than, self.newer_than)
            and all(condition.holds(data) for condition in self.where)
        )


ALL = JobFilter()
EVERY = DeadLetterFilter()


class Selection(CamelModel, abc.ABC):
    """What an operation applies to: those with ``ids``, those that match a filter, or ``every`` one."""

    ids: tuple[str, ...] | None = None
    every: bool = False

    @property
    @abc.abstractmethod
    def restricts(self) -> bool:
        """Whether a filter excludes anything."""

    @property
    def fault(self) -> Literal["named twice", "not named"] | None:
        """What is wrong with the selection: it has both ids and a filter, or neither."""
        if self.ids is None:
            return None if self.restricts or self.every else "not named"
        return "named twice" if self.restricts or self.every else None


class JobSelection(Selection):
    """Jobs of a queue; without ids, those of a ``state``."""

    queue: str
    state: str | None = None
    filter: JobFilter = ALL

    @property
    def restricts(self) -> bool:
        """Whether the filter excludes anything."""
        return self.filter.restricts


class DeadLetterSelection(Selection):
    """Dead letters of ``queue`` (None: of all queues).

    Without ids, the newest ``keep`` of each queue are left out.
    """

    queue: str | None = None
    filter: DeadLetterFilter = EVERY
    keep: int | None = None

    @property
    def restricts(self) -> bool:
        """Whether the filter, or ``keep``, excludes anything."""
        return self.filter.restricts or self.keep is not None


def _in_time(stamp: float | None, now_ms: int, older_than: float | None, newer_than: float | None) -> bool:
    """Whether a time (epoch ms) is longer ago than ``older_than`` and not longer than ``newer_than`` (s)."""
    if older_than is None and newer_than is None:
        return True
    if stamp is None:
        return False
    age_s = (now_ms - stamp) / 1000
    return (older_than is None or age_s > older_than) and (newer_than is None or age_s <= newer_than)


def _json(text: str | None) -> Any:
    try:
        return None if text is None else decode_json(text)
    except (ValueError, RecursionError):
        return None
