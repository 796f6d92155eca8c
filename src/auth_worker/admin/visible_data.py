"""Prepares a job's values to be shown to an operator: the shape of its data, masked options, or all of it.

``core.redaction`` masks a text. This module decides which values are shown masked, which by their shape alone, and
which as they are.
"""

from __future__ import annotations

from typing import Any

from auth_worker.core.redaction import redact

DEEPEST, MOST = 6, 50
MOST_LINES = 200
MOST_LEVELS = 100
"""How deep a value may be nested and still be shown as it is. JSON encoders accept a few hundred levels."""
_NAMES = frozenset(("jobId", "id", "queue"))


def shape(value: Any, depth: int = 0) -> Any:
    """Return the keys of ``value`` with the type and length of each value, never the values themselves."""
    match value:
        case dict():
            if depth >= DEEPEST:
                return f"<object of {len(value)}>"
            shown = {encodable(str(key)): shape(item, depth + 1) for key, item in list(value.items())[:MOST]}
            return shown | ({"...": f"<{len(value) - MOST} more>"} if len(value) > MOST else {})
        case list():
            if depth >= DEEPEST or len(value) > 3:
                return f"<list of {len(value)}>"
            return [shape(item, depth + 1) for item in value]
        case str():
            return f"<text of {len(value)}>"
        case bool():
            return "<true or false>"
        case int() | float():
            return "<number>"
    return value


def masked(value: Any, depth: int = 0) -> Any:
    """Return ``value`` with every text in it masked. For options and the like, which hold little personal data.

    Names of jobs and queues stay, since an operator needs them.
    """
    if depth > DEEPEST:
        return "..."
    match value:
        case str():
            return redact(value)
        case dict():
            return {
                encodable(str(key)): encodable(item, MOST_LEVELS) if key in _NAMES else masked(item, depth + 1)
                for key, item in value.items()
            }
        case list():
            return [masked(item, depth + 1) for item in value[:MOST]]
    return value


def masked_lines(text: str) -> str:
    """Mask a text of several lines, such as a stack trace, line by line."""
    lines = text.splitlines()
    kept = "\n".join(redact(line) for line in lines[:MOST_LINES])
    return kept + (f"\n... {len(lines) - MOST_LINES} more lines" if len(lines) > MOST_LINES else "")


def encodable(value: Any, depth: int = 0) -> Any:
    """Return ``value`` as it is, but with lone surrogates escaped, since UTF-8 cannot encode them.

    Values that are nested deeper than ``MOST_LEVELS`` are replaced by their type and length.
    """
    if depth >= MOST_LEVELS and isinstance(value, dict | list):
        return shape(value, DEEPEST)
    match value:
        case str():
            return value.encode(errors="backslashreplace").decode()
        case dict():
            return {encodable(str(key)): encodable(item, depth + 1) for key, item in value.items()}
        case list():
            return [encodable(item, depth + 1) for item in value]
    return value


def encodable_text(value: Any) -> str:
    """Return ``encodable(value)`` as a text."""
    return str(encodable(value))
