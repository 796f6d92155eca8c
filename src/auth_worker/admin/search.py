"""Which jobs are meant: by id, name, error and what their data says."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from auth_worker.admin.masking import whole_text
from auth_worker.dead_letter import Letter
from auth_worker.errors import ConfigurationError
from auth_worker.options import decode_json
from auth_worker.payload import RawJob
from auth_worker.report import Report

ROOTS = {"data": b"data", "opts": b"opts", "returnvalue": b"returnvalue"}
_MISSING = object()
_INDEX, _STAMP = re.compile(r"[0-9]{1,9}"), re.compile(r"[0-9]{1,18}")


class Condition(Report):
    """What stands at ``path`` (``data.user.id``, ``opts.attempts``) is what ``text`` says (``glob_matches``)."""

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
        if isinstance(value, str):
            return glob_matches(self.text, value)
        shown = _shown(value)
        if shown is None:
            return False
        return shown == _canonical(self.text) or (
            isinstance(value, bool | int | float) and glob_matches(self.text, shown)
        )


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
        return self.id is None or glob_matches(self.id, job_id)

    def matches(self, raw: RawJob, now_ms: float) -> bool:
        """Whether a job with these fields is meant, by all but its id."""
        if self.name is not None and not glob_matches(self.name, _text(raw, b"name")):
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


class LetterFilter(Report):
    """Which letters are meant: those of a queue, a job, a reason class, an age, or with a text in their reason.

    What is None asks nothing. ``name`` is the dead job's, ``where`` is about its data and options, ``older_than``
    is s.
    """

    queue: str | None = None
    job_id: str | None = None
    reason_class: str | None = None
    text: str | None = None
    name: str | None = None
    where: tuple[Condition, ...] = ()
    older_than: float | None = None

    @property
    def asks(self) -> bool:
        """Whether it leaves anything out."""
        return self != EVERY

    def matches(self, letter: Letter, now: float) -> bool:
        """Whether the letter is meant; ``now`` in epoch s."""
        data = letter.data if isinstance(letter.data, dict) else {}
        return (
            self.queue in (None, data.get("originalQueue"))
            and self.job_id in (None, data.get("originalJobId"))
            and self.reason_class in (None, data.get("reasonClass"))
            and (self.text is None or self.text.casefold() in whole_text(data.get("failedReason")).casefold())
            and (self.name is None or glob_matches(self.name, letter.name))
            and (self.older_than is None or letter.timestamp < (now - self.older_than) * 1000)
            and all(condition.holds(data) for condition in self.where)
        )


ALL = JobFilter()
EVERY = LetterFilter()


def glob_matches(pattern: str, text: str) -> bool:
    r"""Whether ``text`` is what ``pattern`` says: ``*`` stands for anything, ``\*`` for itself.

    A backslash is special only before ``*``: of a run of them there, two are one. Takes linear time a part.
    """
    first, *others = _literals(pattern)
    if not others:
        return text == first
    if not text.startswith(first):
        return False
    position = len(first)
    *middle, last = others
    for part in middle:
        found = text.find(part, position)
        if found < 0:
            return False
        position = found + len(part)
    return text.endswith(last) and len(text) - len(last) >= position


@lru_cache(maxsize=256)
def _literals(pattern: str) -> tuple[str, ...]:
    """The texts between the stars of ``pattern``."""
    parts = [""]
    for piece in re.findall(r"\\*\*|[^\\*]+|\\+", pattern):
        if not piece.endswith("*"):
            parts[-1] += piece
            continue
        slashes = len(piece) - 1
        parts[-1] += "\\" * (slashes // 2)
        if slashes % 2:
            parts[-1] += "*"
        else:
            parts.append("")
    return tuple(parts)


def _text(raw: RawJob, field: bytes) -> str:
    return raw.get(field, b"").decode(errors="replace")


def _json(value: bytes | None) -> Any:
    try:
        return None if value is None else decode_json(value.decode())
    except (ValueError, RecursionError):
        return None


def _canonical(text: str) -> str | None:
    try:
        return _shown(decode_json(text))
    except (ValueError, RecursionError):
        return None


def _shown(value: Any) -> str | None:
    """``value`` as JSON; None where it is nested too deeply."""
    try:
        return json.dumps(value)
    except RecursionError:
        return None
