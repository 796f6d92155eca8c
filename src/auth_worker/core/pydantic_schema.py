"""Looks into the schemas that pydantic makes of types."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

_NOT_SCHEMAS = ("metadata", "serialization", "expected", "default")
_TEXTS = frozenset(
    ("str", "uuid", "decimal", "date", "time", "datetime", "timedelta", "url", "multi-host-url", "enum", "literal")
)
"""Kinds of pydantic's schemas whose values JSON writes as text."""
_AROUND = frozenset(("nullable", "default", "function-after", "function-before", "function-wrap"))
"""Kinds that are around another one, in ``schema``."""
_OBJECTS = frozenset(("model-fields", "dataclass-args", "typed-dict"))
"""Kinds that have ``fields``."""


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


class OneWay(NamedTuple):
    """A field that cannot be read as it is written: its name, such as ``User.name``, and why."""

    field: str
    reason: str


def one_way_field(schema: Any, *, is_result: bool) -> OneWay | None:
    """Return a field in ``schema`` that cannot be read as it is written, by its alias; None if all can be.

    ``is_result``: it is written with computed fields, and ``Json`` decoded. What a serializer of its own writes is
    not looked into.
    """
    left: list[tuple[Any, Mapping[str, Any]]] = [(schema, {})]
    while left:
        each, config = left.pop()
        if isinstance(each, Mapping):
            if _has_serializer(each):
                continue
            is_schema = isinstance(each.get("type"), str)
            config = each.get("config", config) if is_schema else config
            if is_schema and each["type"] in _OBJECTS and (found := _one_way_in(each, config, is_result)):
                return found
            if is_schema and is_result and each["type"] == "json":
                return OneWay("Json[...]", "is written decoded, but read as text: take the type in the brackets")
            hidden = _NOT_SCHEMAS if is_schema else ()
            left.extend((value, config) for key, value in each.items() if key not in hidden)
        elif isinstance(each, list | tuple):
            left.extend((part, config) for part in each)
    return None


def _one_way_in(schema: Mapping[str, Any], config: Mapping[str, Any], is_result: bool) -> OneWay | None:
    owner = schema.get("model_name") or schema.get("dataclass_name") or getattr(schema.get("cls"), "__name__", "")
    fields = schema["fields"]
    declared = fields.items() if isinstance(fields, Mapping) else ((each["name"], each) for each in fields)
    for name, field in declared:
        if (reason := _one_way_reason(name, field, config)) is not None:
            return OneWay(f"{owner}.{name}".lstrip("."), reason)
    forbids = schema.get("extra_behavior", config.get("extra_fields_behavior")) == "forbid"
    if is_result and forbids and (computed := schema.get("computed_fields")):
        reason = 'is a computed field, which is written, but the model refuses extra fields: set extra="ignore"'
        return OneWay(f"{owner}.{computed[0]['property_name']}", reason)
    return None


def _one_way_reason(name: str, field: Mapping[str, Any], config: Mapping[str, Any]) -> str | None:
    if field.get("init") is False:  # not read at all
        return None
    may_lack = any(field.get(key) for key in ("serialization_exclude", "serialization_exclude_if", "init_only"))
    if may_lack and not _is_optional(field):
        return "is left out where it is written, but has no default"
    if field.get("serialization_exclude") or field.get("init_only"):
        return None
    written = field.get("serialization_alias", name)
    if written in _names_read(name, field, config):
        return None
    return (
        f"is written as {written!r}, but not read by that name: give it one alias for both, alias=..., or let "
        "validation_alias be AliasChoices with that name"
    )


def _names_read(name: str, field: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    alias = field.get("validation_alias")
    if alias is None:
        return [name]
    names = [name] if config.get("validate_by_name", config.get("populate_by_name")) else []
    if config.get("validate_by_alias") is False:
        return names
    if isinstance(alias, str):
        return [*names, alias]
    paths = alias if isinstance(alias[0], list) else [alias]
    return [*names, *(path[0] for path in paths if len(path) == 1)]


def _is_optional(field: Mapping[str, Any]) -> bool:
    if "required" in field:  # of a TypedDict
        return not field["required"]
    schema = field["schema"]
    while schema["type"] in _AROUND and schema["type"] != "default":
        schema = schema["schema"]
    return bool(schema["type"] == "default")
