"""Converts a task's values to JSON and back, with pydantic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, NotRequired

from pydantic import GetCoreSchemaHandler, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_core import (
    CoreSchema,
    PydanticSerializationError,
    SchemaError,
    SchemaSerializer,
    SchemaValidator,
)
from typing_extensions import TypedDict  # pydantic refuses that of typing before Python 3.12

from auth_worker.core.json_codec import encode_json
from auth_worker.core.pydantic_schema import confuses_bytes, nodes, one_way_field, writes_stars
from auth_worker.core.validation_errors import field_names
from auth_worker.errors import ConfigurationError
from auth_worker.tasks.field_problems import field_problems

CONFIG: Any = {
    "allow_inf_nan": False,
    "hide_input_in_errors": True,
    "ser_json_bytes": "base64",
    "ser_json_inf_nan": "constants",
    "val_json_bytes": "base64",
}
"""Pydantic's configuration for parameters, dataclasses and TypedDicts. A pydantic model has its own."""
_SAME_IN_BOTH_MODES = frozenset(
    (
        *(
            "any",
            "none",
            "bool",
            "int",
            "float",
            "str",
            "decimal",
            "uuid",
            "date",
            "time",
            "datetime",
            "timedelta",
        ),
        *("list", "tuple", "set", "frozenset", "dict", "literal", "enum", "nullable", "default", "typed-dict"),
        *("typed-dict-field", "model", "model-fields", "model-field", "dataclass", "dataclass-args"),
        *("dataclass-field", "definitions", "definition-ref", "function-after", "function-before"),
        *("function-wrap", "no-info", "with-info", "url"),
    )
)
"""Kinds of pydantic's schemas that read decoded JSON the same as its text."""
Problems = list[dict[str, str]]
NOT_JSON = {"field": "data", "message": "cannot be written as JSON"}
NOT_UTF8 = {
    "field": "data",
    "message": 'bytes in a model are no UTF-8: set ser_json_bytes and val_json_bytes to "base64" in its config',
}

_PLAIN = frozenset(
    ("none", "bool", "int", "float", "str", "list", "dict", "nullable", "typed-dict", "typed-dict-field")
)
"""Kinds of pydantic's schemas whose values are JSON as they are."""


class UnfitValuesError(Exception):
    """Values do not fit their declared types. ``fields`` says what is wrong with which, without values."""

    def __init__(self, fields: Problems) -> None:
        super().__init__()
        self.fields = fields


class Fields:
    """Named values of declared types, and their form as a JSON object.

    ``hints`` are the types by name; those in ``optional`` may be missing. ``is_result``: computed fields are
    written too. ``owner`` is named in errors. Raises ``ConfigurationError`` for a type that pydantic cannot handle
    and for a field that could not be read as it is written.
    """

    def __init__(
        self,
        owner: str,
        hints: Mapping[str, Any],
        optional: frozenset[str] = frozenset(),
        *,
        is_result: bool = False,
    ) -> None:
        try:
            schema = object_adapter(hints, optional).core_schema
        except (PydanticUserError, SchemaError, NameError, TypeError) as error:
            raise ConfigurationError(_unusable(owner, hints, error)) from error
        if writes_stars(schema):
            raise ConfigurationError(
                f"{owner}: SecretStr and its like are written as stars, and a worker would get no more: take a "
                "str, or annotate with a PlainSerializer that gives the value"
            )
        if confuses_bytes(schema):
            raise ConfigurationError(
                f"{owner}: a union of bytes and another text is read as either, since bytes are base64 text in "
                "JSON: take one of them, or two parameters"
            )
        if (one_way := one_way_field(schema, is_result=is_result)) is not None:
            raise ConfigurationError(f"{owner}: {one_way.field} {one_way.reason}")
        self.names = frozenset(hints)
        self._is_result = is_result
        self._known = field_names(schema) | self.names
        self._is_plain = _is_plain(schema)
        validator, serializer = SchemaValidator(schema, CONFIG), SchemaSerializer(schema, CONFIG)
        # The configuration is passed again: pydantic does not apply a TypedDict's own when it writes the fields.
        self._validate = validator.validate_python
        self._read: Callable[[Any], Any] = self._validate
        if _needs_text(schema):
            self._read = lambda data: validator.validate_json(encode_json(data))
        self._dump = serializer.to_python

    def read(self, data: Any) -> dict[str, Any]:
        """Read a JSON object, decoded, into values. Raises ``UnfitValuesError``."""
        try:
            values: dict[str, Any] = self._read(data)
            return values
        except ValidationError as error:
            fields = field_problems(error, self._known)
        raise UnfitValuesError(
            fields
        )  # outside of the except block, whose error quotes values and would be in the traceback

    def write(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Check values and convert them to a JSON object that ``read`` accepts. Raises ``UnfitValuesError``."""
        data = self.convert(values)
        try:
            encode_json(data)
        except (TypeError, ValueError, RecursionError):  # NaN, for example, where the type is Any
            raise UnfitValuesError([NOT_JSON]) from None
        self.read(data)
        return data

    def convert(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Check values and convert them to a JSON object. Raises ``UnfitValuesError``."""
        try:
            checked = self._validate(values)
            data: dict[str, Any] = (
                checked
                if self._is_plain
                else self._dump(
                    checked, mode="json", by_alias=True, warnings=False, round_trip=not self._is_result
                )
            )
            return data
        except ValidationError as error:
            fields = field_problems(error, self._known)
        except (PydanticSerializationError, ValueError, RecursionError) as error:
            fields = [NOT_UTF8 if "utf-8" in str(error) else NOT_JSON]
        raise UnfitValuesError(fields)


def object_adapter(hints: Mapping[str, Any], optional: frozenset[str]) -> TypeAdapter[Any]:
    """Return pydantic's adapter of a JSON object with these fields alone. Raises what pydantic raises."""
    kind = _typed_dict({name: NotRequired[hint] if name in optional else hint for name, hint in hints.items()})
    kind.__pydantic_config__ = CONFIG
    closed: Any = Annotated[kind, _Closed()]
    return TypeAdapter(closed)


class _Closed:
    """Refuses unknown names, but leaves nested types as they are declared."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema: Any = handler.resolve_ref_schema(handler(source))
        schema["extra_behavior"] = "forbid"
        closed: CoreSchema = schema
        return closed


def _typed_dict(hints: Mapping[str, Any]) -> Any:
    make: Any = TypedDict
    return make("data", dict(hints))


def _needs_text(schema: Any) -> bool:
    """Whether only pydantic's JSON mode reads the data correctly, for example bytes, which are base64 there."""
    return any(
        each.get("strict") is True
        or (isinstance(each.get("type"), str) and each["type"] not in _SAME_IN_BOTH_MODES)
        for each in nodes(schema)
    )


def _is_plain(schema: Any) -> bool:
    """Whether values that fit ``schema`` need no conversion to become JSON."""
    return all(
        not each.keys() & {"serialization", "serialization_alias", "validation_alias", "serialization_exclude"}
        and (not isinstance(each.get("type"), str) or each["type"] in _PLAIN)
        and ("keys_schema" not in each or each["keys_schema"]["type"] == "str")
        for each in nodes(schema)
    )


def _unusable(owner: str, hints: Mapping[str, Any], error: Exception) -> str:
    """Say which of ``hints`` pydantic cannot handle."""
    for name, hint in hints.items():
        try:
            TypeAdapter(_typed_dict({name: hint}))
        except Exception as cause:
            kind = getattr(hint, "__name__", str(hint))
            if getattr(cause, "code", None) == "typed-dict-version":
                return f"{owner}: {name}: {kind} must be a TypedDict of typing_extensions before Python 3.12"
            return (
                f"{owner}: {name}: {kind} is neither data that pydantic can read and write nor a resource of the "
                "queue; register it with @queue.resource, or give the parameter the default INJECTED"
            )
    return f"{owner}: its types cannot be read by pydantic: {type(error).__name__}"
