"""Reads the envelope of this service's own jobs: ``{"type": ..., "data": {...}}``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from auth_worker.errors import InvalidJobDataError, UnknownJobTypeError

Model = TypeVar("Model", bound=BaseModel)
Type = TypeVar("Type", bound=StrEnum)

_LONGEST_TYPE, _MOST_KEYS = 100, 10
_KEY = re.compile(r"[A-Za-z_][A-Za-z_-]{0,39}")

_SENTENCES = {
    "missing": "is required",
    "string_type": "must be a string",
    "string_unicode": "must not contain control characters, line breaks or lone surrogates",
    "string_too_long": "must have at most {max_length} characters",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "greater_than": "must be greater than {gt:g}",
    "less_than_equal": "must be at most {le:g}",
    "model_type": "must be an object",
}
"""Our messages in place of pydantic's, which may quote the value."""


def read_envelope(types: type[Type], data: Any) -> tuple[Type, Any]:
    """Return the type of a job and its data.

    Raises ``InvalidJobDataError`` if ``data`` is not an object, ``UnknownJobTypeError`` if its type is not in
    ``types``.
    """
    if not isinstance(data, Mapping):
        raise InvalidJobDataError("Invalid job data", [{"field": "data", "message": "must be an object"}])
    given = data.get("type")
    for known in types:
        if given == known:
            return known, data.get("data")
    if isinstance(given, str):
        raise UnknownJobTypeError(f"Unknown job type: {_printable(given)}")
    if "type" in data:
        example = next(iter(types))
        raise UnknownJobTypeError(f'Unknown job type: "type" is {_type_of(given)}, not a text such as {example}')
    known_types = " or ".join(f'"{known}"' for known in types)
    raise UnknownJobTypeError(
        f'Unknown job type: expected {{"type": {known_types}, "data": {{...}}}}, but {_describe(data)}'
    )


def validated(model: type[Model], data: Any) -> Model:
    """Validate the data as a ``model``. Raises ``InvalidJobDataError`` naming each wrong field, and no value."""
    if not isinstance(data, Mapping):
        message = "is required" if data is None else "must be an object"
        raise InvalidJobDataError("Invalid job data", [{"field": "data", "message": message}])
    try:
        return model.model_validate(dict(data))
    except ValidationError as error:
        # The original error quotes the values, and a traceback prints its cause.
        fields = [
            {"field": ".".join(str(part) for part in problem["loc"]), "message": _message_of(problem)}
            for problem in error.errors(include_url=False, include_input=False)
        ]
    raise InvalidJobDataError("Invalid job data", fields)


def _message_of(problem: Mapping[str, Any]) -> str:
    context = problem.get("ctx", {})
    if problem["type"] == "value_error":
        return str(context["error"])
    return _SENTENCES.get(problem["type"], "is not valid").format_map(context)


def _describe(data: Mapping[Any, Any]) -> str:
    """Describe what came instead of an envelope: its keys, if they look like field names, and no value."""
    keys = [key if isinstance(key, str) and _KEY.fullmatch(key) else "***" for key in list(data)[:_MOST_KEYS]]
    if not keys:
        return "the data is an empty object"
    return f"the data is an object with the keys {', '.join(dict.fromkeys(keys))}"


def _type_of(value: Any) -> str:
    return "null" if value is None else f"a value of type {type(value).__name__}"


def _printable(given: str) -> str:
    """Format an unknown type for an error: cut and printable."""
    return "".join(char if char.isprintable() else "?" for char in given[:_LONGEST_TYPE])
