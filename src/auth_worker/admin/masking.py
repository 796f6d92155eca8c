"""What of a job is shown to somebody who did not ask to see it all: the shape of data, and masked texts."""

from __future__ import annotations

from typing import Any

from auth_worker.redaction import redact

DEEPEST, MOST = 6, 50
MOST_LINES = 200
MOST_LEVELS = 100
"""Of nesting, that is shown as it is: what writes JSON takes a few hundred."""
_NAMES = frozenset(("jobId", "id", "queue"))


def shape(value: Any, depth: int = 0) -> Any:
    """The shape of ``value``: its keys, and what kind of thing each is, with its length; never what it says."""
    match value:
        case dict():
            if depth >= DEEPEST:
                return f"<object of {len(value)}>"
            shown = {whole(str(key)): shape(item, depth + 1) for key, item in list(value.items())[:MOST]}
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
    """``value`` with every text in it masked: for options and the like, which say little of a person.

    Names of jobs and queues stay, since an operator needs them.
    """
    if depth > DEEPEST:
        return "..."
    match value:
        case str():
            return redact(value)
        case dict():
            return {
                whole(str(key)): whole(item, MOST_LEVELS) if key in _NAMES else masked(item, depth + 1)
                for key, item in value.items()
            }
        case list():
            return [masked(item, depth + 1) for item in value[:MOST]]
    return value


def masked_lines(text: str) -> str:
    """A text of several lines, such as a stack trace, masked line by line."""
    lines = text.splitlines()
    kept = "\n".join(redact(line) for line in lines[:MOST_LINES])
    return kept + (f"\n... {len(lines) - MOST_LINES} lines more" if len(lines) > MOST_LINES else "")


def whole(value: Any, depth: int = 0) -> Any:
    """``value`` as it is, but for halves of characters, which no JSON can carry.

    Of what is nested deeper than ``MOST_LEVELS``, the kind and the length.
    """
    if depth >= MOST_LEVELS and isinstance(value, dict | list):
        return shape(value, DEEPEST)
    match value:
        case str():
            return value.encode(errors="backslashreplace").decode()
        case dict():
            return {whole(str(key)): whole(item, depth + 1) for key, item in value.items()}
        case list():
            return [whole(item, depth + 1) for item in value]
    return value


def whole_text(value: Any) -> str:
    """``whole(value)`` as a text."""
    return str(whole(value))
