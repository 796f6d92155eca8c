"""Looks into the schemas that pydantic makes of types."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

_NOT_SCHEMAS = ("metadata", "serialization", "expected", "default")


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


def _has_serializer(schema: Mapping[str, Any]) -> bool:
    """Whether a function alone decides how values are written."""
    serializer = schema.get("serialization")
    return isinstance(serializer, Mapping) and serializer.get("type") == "function-plain"


def _is_masked(schema: Mapping[str, Any]) -> bool:
    if not _has_serializer(schema):
        return False
    function = schema["serialization"]["function"]
    return getattr(function, "__module__", "") == "pydantic.types" and "secret" in function.__name__
