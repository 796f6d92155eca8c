"""The JSON Schema of tasks, and the TypeScript that is made of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import jsonschema_rs
import pytest

from auth_worker.core.json_codec import encode_json
from auth_worker.errors import ConfigurationError
from auth_worker.tasks import TaskQueue
from auth_worker.tasks.json_schema import json_schema
from auth_worker.tasks.typescript import typescript
from support import wire_types as wire

SCHEMA = json_schema([wire.queue])
NODE = wire.Node(value=1, children=[wire.Node(value=2)])
CALLS: dict[str, tuple[dict[str, Any], Any]] = {
    "plain": (
        {"text": "a", "number": 1, "ratio": 0.5, "truth": True, "nothing": None, "anything": [1, {"a": None}]},
        None,
    ),
    "moments": (
        {
            "at": datetime(2026, 1, 2, tzinfo=UTC),
            "on": date(2026, 1, 2),
            "hour": time(1, 2),
            "wait": timedelta(seconds=5),
        },
        datetime(2026, 1, 2, tzinfo=UTC),
    ),
    "scalars": (
        {
            "id": UUID(int=1),
            "price": Decimal("1.5"),
            "colour": wire.Colour.BLUE,
            "level": wire.Level.HIGH,
            "raw": b"\xff",
        },
        b"\xff",
    ),
    "containers": (
        {
            "names": ["a"],
            "several": [1, None],
            "unique": {1, 2},
            "pair": (1, "a"),
            "many": (1, 2),
            "empty": (),
            "by_name": {"a": wire.Size(1)},
            "by_number": {1: [wire.Colour.RED]},
            "grid": [[1.5], []],
        },
        {"a": 1},
    ),
    "objects": (
        {
            "node": NODE,
            "pet": wire.Dog(good=True),
            "page": wire.Page[wire.Size](items=[wire.Size(1, 2)]),
            "open": wire.Open.model_validate({"name": "a", "more": 1}),
            "aliased": wire.Aliased.model_validate({"first-name": "a"}),
            "size": wire.Size(1),
            "options": {"fast": True, "seed": b"a"},
            "removed": wire.delete(id=1),
            "record": wire.Record(id=1),
        },
        NODE,
    ),
    "a b/c*/d": ({"size": None, "pets": [wire.Cat(kind="cat")], "mode": 3}, 1),
    "sell": (
        {"colour": wire.Colour.RED, "price": Decimal(1), "size": wire.Size(1)},
        wire.Receipt(price=Decimal(1), colour=wire.Colour.RED, at=datetime(2026, 1, 2, tzinfo=UTC)),
    ),
    "silent": ({}, {"any": "thing"}),
}


def fits(value: Any, schema: dict[str, Any]) -> bool:
    """Whether ``value`` is valid by a part of the schema."""
    whole = {"$schema": SCHEMA["$schema"], "$defs": SCHEMA["$defs"], **schema}
    return jsonschema_rs.validator_for(whole).is_valid(value)


@pytest.mark.parametrize("name", wire.queue.tasks)
def test_what_a_task_takes_and_gives_fits_its_schema(name: str) -> None:
    arguments, result = CALLS[name]
    definition = wire.queue.tasks[name].definition
    data = json.loads(encode_json(definition.encode((), arguments)))
    returned = json.loads(encode_json(definition.encode_result(result)))
    schema = SCHEMA["properties"]["wire-types"]["properties"][name]["properties"]
    assert fits(data, schema["data"])
    assert fits(returned, schema["result"])
    assert not fits({**data, "extra": 1}, schema["data"])
    for field in data:
        short = {key: value for key, value in data.items() if key != field}
        assert fits(short, schema["data"]) is (field in definition.signature.optional)


def test_each_definition_is_referred_to() -> None:
    text = str(SCHEMA["properties"]) + str(SCHEMA["$defs"])
    assert [name for name in SCHEMA["$defs"] if f"#/$defs/{name}'" not in text] == []


def test_a_tag_is_required_though_it_has_a_default_and_a_result_has_its_defaults() -> None:
    assert SCHEMA["$defs"]["Dog"]["required"] == ["good", "kind"]
    assert SCHEMA["$defs"]["Node-Input"]["required"] == ["value"]
    assert SCHEMA["$defs"]["Node-Output"]["required"] == ["value", "children"]


def test_a_type_that_json_schema_cannot_describe_is_named_with_its_task() -> None:
    queue = TaskQueue("q")

    @queue.task
    def odd(function: Callable[[], int]) -> None: ...

    with pytest.raises(ConfigurationError, match="task odd: JSON Schema cannot describe its types"):
        json_schema([queue])


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({}, "unknown"),
        (True, "unknown"),
        (False, "never"),
        ({"type": ["string", "null"]}, "string | null"),
        ({"const": "a"}, '"a"'),
        ({"enum": [1, None, True]}, "1 | null | true"),
        ({"anyOf": [{"type": "integer"}, {"type": "number"}]}, "number"),
        ({"allOf": [{"$ref": "#/$defs/A"}, {"type": "object"}]}, "A & Record<string, unknown>"),
        ({"type": "array"}, "unknown[]"),
        ({"type": "array", "items": {"enum": [1, 2]}}, "(1 | 2)[]"),
        (
            {"type": "array", "prefixItems": [{}, {"type": "null"}], "minItems": 1, "maxItems": 2},
            "[unknown, null?]",
        ),
        (
            {"type": "array", "prefixItems": [{"type": "null"}], "minItems": 1, "items": {"enum": [1, 2]}},
            "[null, ...(1 | 2)[]]",
        ),
        ({"type": "array", "prefixItems": [{"type": "null"}], "minItems": 1, "items": False}, "[null]"),
        ({"type": "object", "additionalProperties": False}, "Record<string, never>"),
        ({"type": "object", "properties": {}, "additionalProperties": False}, "Record<string, never>"),
        (
            {"type": "object", "additionalProperties": False, "patternProperties": {"a": {"type": "null"}}},
            "Record<string, null>",
        ),
        (
            {
                "type": "array",
                "items": {"anyOf": [{"type": "object", "properties": {"a": True}}, {"type": "null"}]},
            },
            "({\n  a?: unknown;\n} | null)[]",
        ),
        ({"type": "array", "items": {"const": " | "}}, '" | "[]'),
    ],
)
def test_a_schema_becomes_the_type_of_its_values(schema: Any, expected: str) -> None:
    written = typescript({"title": "Tasks", "type": "object", "properties": {"a": schema}, "$defs": {"A": {}}})
    indented = expected.replace("\n", "\n  ")
    assert f"{{\n  a?: {indented};\n}}" in written


def test_names_of_types_are_identifiers_that_differ() -> None:
    schemas = {name: {"type": "string"} for name in ("Job", "delete", "A-Input", "AInput", "9lives", "Ä")}
    written = typescript({"title": "Tasks", "$defs": schemas})
    names = re.findall(r"^export type (\S+) = string;$", written, re.MULTILINE)
    assert names == ["Job_", "Delete", "AInput", "AInput_", "Type9lives", "Type"]
