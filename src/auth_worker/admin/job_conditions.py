"""Conditions on the content of a job: a path and a pattern, in which ``*`` matches anything."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from auth_worker.core.camel_model import CamelModel
from auth_worker.core.json_codec import decode_json
from auth_worker.errors import ConfigurationError

ROOTS = ("data", "opts", "returnvalue")
"""What the path of a condition may start with."""
_MISSING = object()
_INDEX = re.compile(r"[0-9]{1,9}")


class Condition(CamelModel):
    """The value at ``path`` (``data.user.id``, ``opts.attempts``) matches ``text``, see ``glob_matches``."""

    path: tuple[str, ...]
    text: str

    @classmethod
    def of(cls, condition: str) -> Condition:
        """Parse ``data.user.id=12``. A path that starts with no field of the job is a path in its data.

        Raises ``ConfigurationError``.
        """
        path, equals, text = condition.partition("=")
        parts = tuple(part.strip() for part in path.split("."))
        if not equals or not all(parts):
            raise ConfigurationError(f"{condition!r} is not a condition: write data.user.id=12")
        return cls(path=parts if parts[0] in ROOTS else ("data", *parts), text=text.strip())

    def __str__(self) -> str:
        return f"{'.'.join(self.path)}={self.text}"

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


def glob_matches(pattern: str, text: str) -> bool:
    r"""Whether ``text`` matches ``pattern``, in which ``*`` matches anything and ``\*`` itself.

    A backslash is special only before ``*``: of several there, each pair is one backslash. Takes time linear in
    the text for each part of the pattern.
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


def literal_pattern(text: str) -> str:
    """Return the pattern that matches ``text`` alone."""
    return re.sub(r"(\\*)\*", r"\1\1\\*", text)


def literal_of(pattern: str) -> str | None:
    """Return the one text that matches ``pattern``; None if it has a ``*`` that matches anything."""
    first, *others = _literals(pattern)
    return None if others else first


@lru_cache(maxsize=256)
def _literals(pattern: str) -> tuple[str, ...]:
    """Return the texts between the stars of ``pattern``."""
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


def _canonical(text: str) -> str | None:
    try:
        return _shown(decode_json(text))
    except (ValueError, RecursionError):
        return None


def _shown(value: Any) -> str | None:
    """Return ``value`` as JSON, or None if it is nested too deeply."""
    try:
        return json.dumps(value)
    except RecursionError:
        return None
