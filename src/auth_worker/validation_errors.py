"""pydantic's ``ValidationError``: what it says without values, and whether it is about a job's data."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MOST_PROBLEMS, MOST_NODES = 20, 1000
"""How many problems are shown, and how many values of a job's data are looked at."""
_FIELD = re.compile(r"[A-Za-z_][A-Za-z_]{0,39}")
_LABEL = re.compile(
    r"(?:function|constrained|tagged|list|dict|set|tuple|union|nullable|lax|json)[-\w]*\[[\w\[\],.-]*\]"
)
_Problems = list[dict[str, Any]]


def is_validation_error(error: BaseException) -> bool:
    """Whether ``error`` lists problems as pydantic does: pydantic's own, of either version, or a framework's."""
    return type(error).__name__.endswith("ValidationError") and callable(getattr(error, "errors", None))


def validation_text(error: BaseException) -> str | None:
    """The fields that are wrong and why, without a value; None where ``error`` cannot be read as pydantic's."""
    problems = _problems(error)
    if problems is None:
        return None
    known = _field_names(error)
    parts = [f"{_place(problem, known)}: {_message(problem)}" for problem in problems[:MOST_PROBLEMS]]
    if len(problems) > MOST_PROBLEMS:
        parts.append(f"and {len(problems) - MOST_PROBLEMS} more")
    title = getattr(error, "title", "")
    of = f" for {title}" if isinstance(title, str) and re.fullmatch(r"[\w.\[\], ]{1,60}", title) else ""
    return f"{len(problems)} validation error{'s' * (len(problems) != 1)}{of} ({'; '.join(parts)})"


def is_about(error: BaseException, data: Any) -> bool:
    """Whether ``error`` was raised for ``data`` or a part of it: one of its inputs stands there in ``data``."""
    problems = (_problems(error) or []) if is_validation_error(error) else []
    parts = list(values_in(data)) if problems else []
    try:
        return any(
            "input" in problem and any(_fits(problem, part) for part in parts)
            for problem in problems[:MOST_PROBLEMS]
        )
    except Exception:  # an input may be of any type, and compares as that likes
        return False


def _problems(error: Any) -> _Problems | None:
    try:
        found = error.errors()
        ok = all(isinstance(each["loc"], Sequence) and isinstance(each["msg"], str) for each in found)
    except Exception:
        return None
    return list(found) if ok else None


def _message(problem: Mapping[str, Any]) -> str:
    """Pydantic's sentence; where a validator or a tag wrote it, without the input."""
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
"""Problems whose sentences are pydantic's own, from the model alone."""


def _place(problem: Mapping[str, Any], known: frozenset[str] | None) -> str:
    """Where the problem is. A part that is a key of the data, and no field of the model, is masked."""
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
    """The names of all fields of the validated type, found where its validation was called; None if nowhere."""
    frame = error.__traceback__
    schema = None
    while frame is not None:
        names = frame.tb_frame.f_locals
        if "pydantic" in frame.tb_frame.f_code.co_filename:
            owner = names.get("cls", names.get("self"))
            schema = getattr(owner, "__pydantic_core_schema__", getattr(owner, "core_schema", schema))
        frame = frame.tb_next
    return frozenset(_names_in(schema)) if schema is not None else None


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
    """``data`` and the values it holds at any depth, the outermost first, ``MOST_NODES`` at most."""
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
    """Whether the problem's input stands in ``part`` at the problem's place."""
    found, steps, path = part, 0, list(problem["loc"])
    if problem.get("type") == "missing":
        path = path[:-1]
    for step in path:
        try:
            found = found[step]
            steps += 1
        except (KeyError, IndexError, TypeError):
            continue  # the name of a union's member, or of a validator
    given = problem["input"]
    if isinstance(given, Mapping | list | tuple):
        return type(found) in (dict, list, tuple) and bool(given or steps) and found == given
    if steps:
        return type(found) is type(given) and found == given
    return found is given and isinstance(given, str | float) and len(str(given)) > 1
