"""Looks into the schemas that pydantic makes of types."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

_NOT_SCHEMAS = ("metadata", "serialization", "expected", "default")
_TEXTS = frozenset(
    ("str", "uuid", "decimal", "date", "time", "datetime", "timedelta", "url", "multi-host-url", "enum", "literal")
)
"""Kinds of pydantic's schemas whose values JSON writes as text."""
_AROUND = frozenset(("nullable", "default", "function-after", "function-before", "function-wrap"))
"""Kinds that are around another one, in ``schema``."""


def nodes(
    schema: Any, is_leaf: Callable[[Mapping[str, Any]], bool] = lambda each: False
) -> Iterator[Mapping[str, Any]]:
    """Yield all parts of ``schema`` but those below a leaf."""
    left = [schema]
    while left:
        each = left.pop()
        if isinstance(each, Mapping):
            yield each
            if is_leaf(each):
                continue
            hidden = _NOT_SCHEMAS if isinstance(each.get("type"), str) else ()  # else its keys are names of fields
            left.extend(value for key, value in each.items() if key not in hidden)
        elif isinstance(each, list | tuple):
            left.extend(each)


def writes_stars(schema: Any) -> bool:
    """Whether ``SecretStr`` or its like is in ``schema``, which pydantic writes as stars, unless it says how."""
    return any(_is_masked(each) for each in nodes(schema, _has_serializer))


def confuses_bytes(schema: Any) -> bool:
    """Whether a union in ``schema`` takes both bytes, written as base64, and another text that may look the same.

    Models are left out, since their configuration says how their bytes are written.
    """
    return any(
        kinds & _TEXTS
        for each in nodes(schema, lambda each: each.get("type") == "model")
        if each.get("type") == "union" and "bytes" in (kinds := set(map(_kind, each["choices"])))
    )


def _kind(choice: Any) -> str:
    """Return the kind of a union's choice; a serializer of its own makes it one of no name."""
    schema = choice[0] if isinstance(choice, tuple) else choice
    while schema["type"] in _AROUND and "serialization" not in schema:
        schema = schema["schema"]
    has_own = schema["type"] == "bytes" and "serialization" in schema
    return "" if has_own else str(schema["type"])


def _has_serializer(schema: Mapping[str, Any]) -> bool:
    """Whether a function alone decides how values are written."""
    serializer = schema.get("serialization")
    return isinstance(serializer, Mapping) and serializer.get("type") == "function-plain"


def _is_masked(schema: Mapping[str, Any]) -> bool:
    if not _has_serializer(schema):
        return False
    function = schema["serialization"]["function"]
    return getattr(function, "__module__", "") == "pydantic.types" and "secret" in function.__name__
