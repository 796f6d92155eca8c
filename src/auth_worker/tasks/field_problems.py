"""Lists what is wrong with a task's values, field by field, without quoting any value.

Unlike ``core.validation_errors``, which makes one text of any pydantic error, this knows the declared fields, and
keeps only messages that are known to quote no value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from auth_worker.core.validation_errors import location

LONGEST_LIST = 20
"""The most problems that are listed."""
_SAFE = frozenset(
    (
        *("missing", "extra_forbidden", "none_required"),
        *("list_type", "tuple_type", "set_type", "frozen_set_type", "iterable_type"),
        *("string_type", "int_type", "float_type", "bool_type", "bytes_type", "decimal_type", "uuid_type"),
        *("date_type", "time_type", "datetime_type", "time_delta_type", "url_type", "is_instance_of"),
        *("int_from_float", "finite_number", "greater_than", "greater_than_equal", "less_than"),
        *("less_than_equal", "multiple_of", "string_too_short", "string_too_long", "string_pattern_mismatch"),
        *("too_short", "too_long", "bytes_too_short", "bytes_too_long", "literal_error", "enum"),
        *("timezone_naive", "timezone_aware", "date_past", "date_future", "datetime_past", "datetime_future"),
        *("decimal_max_digits", "decimal_max_places", "decimal_whole_digits", "union_tag_not_found"),
        *("url_scheme", "url_too_long"),
    )
)
"""Types of problems whose messages contain only parts of the declaration, never of the value."""

_OBJECTS = frozenset(("model_type", "model_attributes_type", "dataclass_type", "mapping_type", "dict_type"))
"""Types of problems that all mean that the JSON is not an object."""


def field_problems(error: ValidationError, known: frozenset[str]) -> list[dict[str, str]]:
    """Return ``{"field", "message"}`` for each problem of ``error``, at most 20.

    ``known`` are the names of the declared fields. Any other key comes from the data, and is masked.
    """
    problems = error.errors(include_url=False, include_input=False)
    fields = [
        {"field": location(problem, known), "message": _message(problem)} for problem in problems[:LONGEST_LIST]
    ]
    if len(problems) > LONGEST_LIST:
        fields.append({"field": "data", "message": f"{len(problems) - LONGEST_LIST} more problems"})
    return fields


def _message(problem: Mapping[str, Any]) -> str:
    kind, message = str(problem["type"]), str(problem["msg"])
    if kind in _OBJECTS:
        return "Input should be an object"
    if kind in _SAFE:
        return message
    if kind.endswith("_parsing") and message.startswith("Input should be a valid "):
        return message.partition(",")[0]  # what follows may quote a character of the value
    return "is not valid"
