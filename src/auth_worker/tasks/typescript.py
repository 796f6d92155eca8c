"""Writes a JSON Schema from pydantic as TypeScript types."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

Schema = Mapping[str, Any] | bool
HEADER = """\
// Written by `auth-worker types`. The data of each task's jobs, and their results, as JSON.

import type { BulkJobOptions, Job, JobsOptions, Queue } from "bullmq";
"""
TASK_QUEUE = """\
/** A BullMQ queue that takes these tasks alone: `const queue: TaskQueue<"name"> = new Queue("name")`. */
export type TaskQueue<Q extends keyof Tasks> = Omit<Queue, "add" | "addBulk"> & {
  add<N extends keyof Tasks[Q] & string>(
    name: N,
    data: DataOf<Tasks[Q][N]>,
    opts?: JobsOptions,
  ): Promise<Job<DataOf<Tasks[Q][N]>, ResultOf<Tasks[Q][N]>>>;
  addBulk(
    jobs: { [N in keyof Tasks[Q] & string]: { name: N; data: DataOf<Tasks[Q][N]>; opts?: BulkJobOptions } }[
      keyof Tasks[Q] & string
    ][],
  ): Promise<Job[]>;
};

/** The data of a task: `DataOf<Tasks["queue"]["task"]>`. */
export type DataOf<T> = T extends { data: infer D } ? D : never;

/** The result of a task. */
export type ResultOf<T> = T extends { result: infer R } ? R : never;
"""
_RESERVED = frozenset(
    (
        *("BulkJobOptions", "DataOf", "Job", "JobsOptions", "Queue", "ResultOf", "TaskQueue", "Tasks"),
        *("Omit", "Promise", "Record"),
    )
)
_IDENTIFIER = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*\Z")
_PRIMITIVES = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}
_INDENT = "  "


def typescript(schema: Mapping[str, Any]) -> str:
    """Return a module of TypeScript: a type for ``schema``, named by its title, and one for each of its $defs."""
    definitions: Mapping[str, Any] = schema.get("$defs", {})
    writer = _Writer(_type_names(definitions))
    parts = [writer.declaration(writer.names[key], definition) for key, definition in definitions.items()]
    return "\n".join([HEADER, writer.declaration(schema["title"], schema), TASK_QUEUE, *parts])


class _Writer:
    """Writes schemas as types. ``names`` are the names of the types by key of ``$defs``."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = names

    def declaration(self, name: str, schema: Mapping[str, Any]) -> str:
        """Return an ``interface`` for an object with known fields, else a ``type``."""
        comment = _comment(schema, "")
        if schema.get("type") == "object" and "properties" in schema:
            return f"{comment}export interface {name} {self.type(schema)}\n"
        return f"{comment}export type {name} = {self.type(schema)};\n"

    def type(self, schema: Schema, indent: str = "") -> str:
        """Return the type that ``schema`` describes; ``unknown`` if it allows everything."""
        if isinstance(schema, bool):
            return "unknown" if schema else "never"
        if "$ref" in schema:
            return self.names[schema["$ref"].rpartition("/")[2]]
        if "const" in schema:
            return json.dumps(schema["const"])
        if "enum" in schema:
            return _joined(" | ", map(json.dumps, schema["enum"]))
        for word, operator in (("anyOf", " | "), ("oneOf", " | "), ("allOf", " & ")):
            if word in schema:
                return _joined(operator, (self.type(each, indent) for each in schema[word]))
        return self._typed(schema, indent)

    def _typed(self, schema: Mapping[str, Any], indent: str) -> str:
        match schema.get("type"):
            case list() as kinds:
                return _joined(" | ", (self.type({**schema, "type": kind}, indent) for kind in kinds))
            case "array":
                return self._array(schema, indent)
            case "object":
                return self._object(schema, indent)
            case kind:
                return _PRIMITIVES.get(str(kind), "unknown")

    def _array(self, schema: Mapping[str, Any], indent: str) -> str:
        rest: Schema = schema.get("items", True)
        if "prefixItems" not in schema:
            if schema.get("maxItems") == 0:
                return "[]"
            return f"{_grouped(self.type(rest, indent))}[]"
        least = schema.get("minItems", 0)
        items = [
            _grouped(self.type(each, indent)) + ("" if place < least else "?")
            for place, each in enumerate(schema["prefixItems"])
        ]
        if schema.get("maxItems") != len(items) and rest is not False:
            items.append(f"...{_grouped(self.type(rest, indent))}[]")
        return f"[{', '.join(items)}]"

    def _object(self, schema: Mapping[str, Any], indent: str) -> str:
        more: Schema = schema.get("additionalProperties", "properties" not in schema)
        patterns = list(schema.get("patternProperties", {}).values())
        if "properties" not in schema:
            values = _joined(" | ", (self.type(each, indent) for each in (*patterns, *([more] if more else []))))
            return f"Record<string, {values or 'never'}>"
        required = schema.get("required", ())
        inner = indent + _INDENT
        lines = [
            f"{_comment(field, inner)}{inner}{_key(name)}{'' if name in required else '?'}: "
            f"{self.type(field, inner)};\n"
            for name, field in schema["properties"].items()
        ]
        if more or patterns:  # unknown, since the fields above must fit it too
            lines.append(f"{inner}[key: string]: unknown;\n")
        return f"{{\n{''.join(lines)}{indent}}}" if lines else "Record<string, never>"


def _type_names(definitions: Iterable[str]) -> dict[str, str]:
    """Name a type for each key: an identifier that no other has."""
    names: dict[str, str] = {}
    taken = set(_RESERVED)
    for key in definitions:
        plain = re.sub(r"[^A-Za-z0-9_$]", "", key)
        name = plain[:1].upper() + plain[1:]  # a word of TypeScript begins with a small letter
        name = name if _IDENTIFIER.match(name) else f"Type{name}"
        while name in taken:
            name += "_"
        taken.add(name)
        names[key] = name
    return names


def _comment(schema: Schema, indent: str) -> str:
    """Return as JSDoc what the type does not say: the description, the format of a text, the default."""
    if isinstance(schema, bool):
        return ""
    parts = [str(schema["description"])] if "description" in schema else []
    parts += [f"@{word} {_text(schema[word])}" for word in ("format", "default") if word in schema]
    text = "\n".join(parts).replace("*/", "*\\/")
    if not text:
        return ""
    if "\n" not in text:
        return f"{indent}/** {text} */\n"
    lines = "".join(f"{indent} * {line}".rstrip() + "\n" for line in text.split("\n"))
    return f"{indent}/**\n{lines}{indent} */\n"


def _text(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value)


def _key(name: str) -> str:
    return name if _IDENTIFIER.match(name) else json.dumps(name)


class _Compound(str):
    """A union or an intersection."""

    __slots__ = ()


def _joined(operator: str, types: Iterable[str]) -> str:
    different = list(dict.fromkeys(types))
    return _Compound(operator.join(map(_grouped, different))) if len(different) > 1 else "".join(different)


def _grouped(kind: str) -> str:
    return f"({kind})" if isinstance(kind, _Compound) else kind
