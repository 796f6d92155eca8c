"""Reads pydantic's ``ValidationError``: formats it without values, and tells whether it is about a job's data."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MOST_PROBLEMS, MOST_NODES = 20, 1000
"""How many problems are shown, and how many values of a job's data are compared."""
MOST_LISTED = 500
"""The most problems that pydantic is asked to list. It takes µs for each, and cannot list just the first few."""
_FIELD = re.compile(r"[A-Za-z_][A-Za-z_]{0,39}")
_LABEL = re.compile(
    r"(?:function|constrained|tagged|list|dict|set|tuple|union|nullable|lax|json)[-\w]*\[[\w\[\],.-]*\]"
)
_Problems = list[dict[str, Any]]


def is_validation_error(error: BaseException) -> bool:
    """Whether ``error`` lists problems as pydantic does: pydantic's own, of either version, or a framework's."""
    return type(error).__name__.endswith("ValidationError") and callable(getattr(error, "errors", None))


def validation_text(error: BaseException) -> str | None:
    """Return which fields are wrong and why, without values, or None if ``error`` cannot be read as pydantic's."""
    problems = _problems(error)
    if problems is None:
        return None
    title = getattr(error, "title", "")
    of = f" for {title}" if isinstance(title, str) and re.fullmatch(r"[\w.\[\], ]{1,60}", title) else ""
    if _count(error) > MOST_LISTED:
        return f"more than {MOST_LISTED} validation errors{of}"
    known = _field_names(error)
    parts = [f"{location(problem, known)}: {_message(problem)}" for problem in problems[:MOST_PROBLEMS]]
    if len(problems) > MOST_PROBLEMS:
        parts.append(f"and {len(problems) - MOST_PROBLEMS} more")
    return f"{len(problems)} validation error{'s' * (len(problems) != 1)}{of} ({'; '.join(parts)})"


def field_names(schema: Any) -> frozenset[str]:
    """Return the names of fields and types that a pydantic core schema declares."""
    return frozenset(_names_in(schema))


def is_about(error: BaseException, data: Any) -> bool:
    """Whether ``error`` was raised for ``data`` or a part of it, that is, quotes an input found there."""
    problems = (_problems(error) or []) if is_validation_error(error) else []
    try:
        if is_validation_error(error) and _count(error) > MOST_LISTED:
            given = list(_validated(error))
            return any(_is_same(each, part) for each in given for part in values_in(data))
        parts = list(values_in(data)) if problems else []
        return any(
            "input" in problem and any(_fits(problem, part) for part in parts)
            for problem in problems[:MOST_PROBLEMS]
        )
    except Exception:  # an input may be of any type, whose comparison may raise
        return False


def _count(error: Any) -> int:
    """Return how many problems pydantic has counted, or 0 if that fails."""
    try:
        return int(error.error_count())
    except Exception:
        return 0


def _problems(error: Any) -> _Problems | None:
    """Return the problems: None if they cannot be read as pydantic's, an empty list if there are too many."""
    if _count(error) > MOST_LISTED:
        return []
    try:
        try:
            found = error.errors(include_url=False)
        except TypeError:  # pydantic 1, or a framework
            found = error.errors()
        ok = all(isinstance(each["loc"], Sequence) and isinstance(each["msg"], str) for each in found)
    except Exception:
        return None
    return list(found) if ok else None


def _message(problem: Mapping[str, Any]) -> str:
    """Return pydantic's message, without the input if a validator or a tag wrote it."""
    message = str(problem["msg"])
    context = problem.get("ctx") or {}
    quoted = [str(context["tag"])] if "tag" in context else []
    if problem.get("type") not in _PLAIN_TYPES:
        quoted += [str(part) for part in values_in(problem.get("input")) if isinstance(part, str | int | float)]
    for text in sorted(filter(None, quoted), key=len, reverse=True):
        message = re.sub(rf"(?<!\w){re.escape(text)}(?!\w)", "***", message)
    return message


_PLAIN_TYPES = frozenset(
    ("missing", "extra_forbidden", "literal_error", "enum", "string_type", "int_type", "int_parsing", "model_type")
)
"""Problems whose messages are pydantic's own and quote only the model."""


def location(problem: Mapping[str, Any], known: frozenset[str] | None) -> str:
    """Return where a pydantic problem is, such as ``user.age``, with what is not the name of a field masked.

    ``known`` are the names of the fields. None: nobody knows them, and what looks like a name is taken for one.
    """
    loc = list(problem["loc"])
    if problem.get("type") == "extra_forbidden" and loc:
        loc[-1] = ""
    if loc[-1:] == ["[key]"] and len(loc) > 1:
        loc[-2] = ""
    return ".".join(_shown(part, known) for part in loc) or "the value"


def _shown(part: Any, known: frozenset[str] | None) -> str:
    if isinstance(part, int):
        return str(part) if part < 1000 else "***"
    text = str(part)
    is_field = text in known if known is not None else _FIELD.fullmatch(text) is not None
    return text if is_field or text in _CORE_LABELS or _LABEL.fullmatch(text) else "***"


_CORE_LABELS = frozenset(
    ("[key]", "int", "float", "str", "bool", "bytes", "date", "datetime", "decimal", "uuid", "url", "none", "body")
)


def _field_names(error: BaseException) -> frozenset[str] | None:
    """Return the field names of the validated type, found in the frame that called pydantic; None if not found."""
    frame = error.__traceback__
    schema = None
    while frame is not None:
        names = frame.tb_frame.f_locals
        if "pydantic" in frame.tb_frame.f_code.co_filename:
            owner = names.get("cls", names.get("self"))
            schema = getattr(owner, "__pydantic_core_schema__", getattr(owner, "core_schema", schema))
        frame = frame.tb_next
    return field_names(schema) if schema is not None else None


def _validated(error: BaseException) -> Iterator[Any]:
    """Yield what was validated, found in the frames that called pydantic."""
    frame = error.__traceback__
    while frame is not None:
        if "pydantic" in frame.tb_frame.f_code.co_filename:
            names = frame.tb_frame.f_locals
            yield from (names[name] for name in ("obj", "object", "data", "json_data") if name in names)
        frame = frame.tb_next


def _is_same(given: Any, part: Any) -> bool:
    """Whether ``given`` is ``part`` of a job's data, or a mapping of the same values, as of ``Model(**data)``."""
    if given is part:
        return not isinstance(part, int | None)
    return (
        type(given) is type(part) is dict
        and bool(given)
        and given.keys() == part.keys()
        and all(part[name] is value for name, value in given.items())
    )


def _names_in(schema: Any) -> Iterator[str]:
    left, seen = [schema], 0
    while left and seen < 50 * MOST_NODES:
        seen += 1
        each = left.pop()
        if isinstance(each, Mapping):
            if each.get("type") in ("model-fields", "typed-dict", "dataclass-args", "tagged-union"):
                fields = each.get("fields", each.get("choices"))
                yield from (str(name) for name in fields if isinstance(name, str))
            for key in ("name", "model_name", "validation_alias", "alias", "cls_name"):
                yield from (name for name in _flat(each.get(key)) if isinstance(name, str))
            if isinstance(each.get("cls"), type):
                yield each["cls"].__name__
            left.extend(each.values())
        elif isinstance(each, list | tuple):
            left.extend(each)


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for each in value:
            yield from _flat(each)
    else:
        yield value


def values_in(data: Any) -> Iterator[Any]:
    """Yield ``data`` and the values it holds at any depth, the outermost first, at most ``MOST_NODES``."""
    left = deque([data])
    for _ in range(MOST_NODES):
        if not left:
            return
        each = left.popleft()
        yield each
        if isinstance(each, Mapping):
            left.extend(list(each.values())[:MOST_NODES])
        elif isinstance(each, list | tuple):
            left.extend(each[:MOST_NODES])


def _fits(problem: Mapping[str, Any], part: Any) -> bool:
    """Whether the problem's input is in ``part`` at the problem's location."""
    found, steps, path = part, 0, list(problem["loc"])
    if problem.get("type") == "missing":
        path = path[:-1]
    for step in path:
        try:
            found = found[step]
            steps += 1
        except (KeyError, IndexError, TypeError):
            continue  # the name of a union member or a validator
    given = problem["input"]
    if isinstance(given, Mapping | list | tuple):
        return type(found) in (dict, list, tuple) and bool(given or steps) and found == given
    if steps:
        return type(found) is type(given) and found == given
    return found is given and isinstance(given, str | float) and len(str(given)) > 1
