"""Which jobs are meant: by id, name, error and what their data says."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Mapping
from typing import Any

from auth_worker.errors import ConfigurationError
from auth_worker.options import decode_json
from auth_worker.payload import RawJob
from auth_worker.report import Report

ROOTS = {"data": b"data", "opts": b"opts", "returnvalue": b"returnvalue"}
_MISSING = object()
_INDEX, _STAMP = re.compile(r"[0-9]{1,9}"), re.compile(r"[0-9]{1,18}")


class Condition(Report):
    """What stands at ``path`` (``data.user.id``, ``opts.attempts``) is what ``text`` says."""

    path: tuple[str, ...]
    text: str

    @classmethod
    def of(cls, condition: str) -> Condition:
        """Read ``data.user.id=12``; a path that begins with no field of the job is one of its data.

        Raises ``ConfigurationError``.
        """
        path, equals, text = condition.partition("=")
        parts = tuple(part.strip() for part in path.split("."))
        if not equals or not all(parts):
            raise ConfigurationError(f"{condition!r} is no condition: write data.user.id=12")
        return cls(path=parts if parts[0] in ROOTS else ("data", *parts), text=text.strip())

    def holds(self, fields: Mapping[str, Any]) -> bool:
        """Whether it holds for a job with these fields."""
        value: Any = fields
        for part in self.path:
            if isinstance(value, dict):
                value = value.get(part, _MISSING)
            elif isinstance(value, list) and _INDEX.fullmatch(part) and int(part) < len(value):
                value = value[int(part)]
            else:
                return False
        if value is _MISSING:
            return False
        return value == self.text if isinstance(value, str) else json.dumps(value) == _canonical(self.text)


class JobFilter(Report):
    """What a job must be like: what is None asks nothing. ``id`` and ``name`` may have ``*`` in them.

    ``text`` stands in the reason of its failure; ``older_than`` is s since it finished, or else was added.
    """

    id: str | None = None
    name: str | None = None
    text: str | None = None
    where: tuple[Condition, ...] = ()
    older_than: float | None = None

    @property
    def asks(self) -> bool:
        """Whether it leaves anything out."""
        return bool(self.where) or any(
            value is not None for value in (self.id, self.name, self.text, self.older_than)
        )

    @property
    def needs_hash(self) -> bool:
        """Whether more than the id must be read to answer."""
        return bool(self.where) or any(value is not None for value in (self.name, self.text, self.older_than))

    @property
    def fields(self) -> tuple[str, ...]:
        """Which of the large fields must be read for it."""
        return tuple(sorted({condition.path[0] for condition in self.where} - {"opts"}))

    def matches_id(self, job_id: str) -> bool:
        """Whether the id is meant."""
        return self.id is None or fnmatch.fnmatchcase(job_id, self.id)

    def matches(self, raw: RawJob, now_ms: float) -> bool:
        """Whether a job with these fields is meant, by all but its id."""
        if self.name is not None and not fnmatch.fnmatchcase(_text(raw, b"name"), self.name):
            return False
        if self.text is not None and self.text.casefold() not in _text(raw, b"failedReason").casefold():
            return False
        if self.older_than is not None:
            stamp = _text(raw, b"finishedOn") or _text(raw, b"timestamp")
            if not _STAMP.fullmatch(stamp) or int(stamp) >= now_ms - self.older_than * 1000:
                return False
        if not self.where:
            return True
        read = {root: _json(raw.get(field)) for root, field in ROOTS.items()}
        return all(condition.holds(read) for condition in self.where)


ALL = JobFilter()


def _text(raw: RawJob, field: bytes) -> str:
    return raw.get(field, b"").decode(errors="replace")


def _json(value: bytes | None) -> Any:
    try:
        return None if value is None else decode_json(value.decode())
    except (ValueError, RecursionError):
        return None


def _canonical(text: str) -> str | None:
    try:
        return json.dumps(decode_json(text))
    except (ValueError, RecursionError):
        return None
