"""Describes the data and the results of tasks as JSON Schema, for producers in other languages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.json_schema import GenerateJsonSchema

from auth_worker.errors import ConfigurationError
from auth_worker.tasks.codec import object_adapter
from auth_worker.tasks.queue import TaskQueue
from auth_worker.tasks.task import AnyTask

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Input = tuple[Any, Literal["validation", "serialization"], TypeAdapter[Any]]


def json_schema(queues: Iterable[TaskQueue]) -> dict[str, Any]:
    """Return the JSON Schema of an object: by queue and task, the ``data`` of a job and its ``result``.

    The types that they share are in ``$defs``. ``data`` is as a producer writes it, ``result`` as it reads it.
    Raises ``ConfigurationError`` naming the task whose types JSON Schema cannot describe.
    """
    queues = list(queues)
    tasks = [task for queue in queues for task in queue.tasks.values()]
    for task in tasks:
        _check(task)
    schemas, shared = TypeAdapter.json_schemas(
        [each for task in tasks for each in _inputs(task)], schema_generator=_Generator
    )
    definitions = shared.get("$defs", {})
    parts = {key: _inlined(schema, definitions) for (key, _), schema in schemas.items()}

    def described(task: AnyTask) -> dict[str, Any]:
        data, result = parts[task, "data"], parts[task, "result"]["properties"]["result"]
        schema = _object({"data": data, "result": result})
        doc = task.function.__doc__
        return schema | {"description": " ".join(doc.split("\n\n")[0].split())} if doc else schema

    by_queue = {
        queue.name: _object({name: described(task) for name, task in queue.tasks.items()}) for queue in queues
    }
    return {"$schema": DIALECT, "title": "Tasks", **_object(by_queue), "$defs": definitions}


class _Generator(GenerateJsonSchema):
    """Generates no titles from the names of fields, and requires fields with a default in a result too."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Part of pydantic."""
        return False

    def field_is_required(self, field: Any, total: bool) -> bool:
        """Part of pydantic."""
        if self.mode == "serialization" and field["type"] in ("model-field", "dataclass-field"):
            return not field.get("serialization_exclude")
        return super().field_is_required(field, total)

    def tagged_union_schema(self, schema: Any) -> dict[str, Any]:
        """Part of pydantic. The tag is required even if it has a default: it chooses the type."""
        made = super().tagged_union_schema(schema)
        tag = made.get("discriminator", {}).get("propertyName")
        for choice in made["oneOf"]:
            object_ = self.resolve_ref_schema(choice)
            if tag in object_.get("properties", {}) and tag not in object_.get("required", ()):
                object_["required"] = [*object_.get("required", ()), tag]
        return made


def _inputs(task: AnyTask) -> list[Input]:
    signature = task.definition.signature
    result = {"result": signature.result}
    return [
        ((task, "data"), "validation", object_adapter(signature.data, signature.optional)),
        ((task, "result"), "serialization", object_adapter(result, frozenset())),
    ]


def _check(task: AnyTask) -> None:
    try:
        TypeAdapter.json_schemas(_inputs(task))
    except PydanticInvalidForJsonSchema as error:
        reason = str(error).partition("\n")[0]
        raise ConfigurationError(f"task {task.name}: JSON Schema cannot describe its types: {reason}") from error


def _inlined(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the object that ``schema`` is or refers to, which nothing else refers to."""
    name = schema.get("$ref", "").rpartition("/")[2]
    own: dict[str, Any] = definitions.pop(name) if name else schema
    return {key: value for key, value in own.items() if key != "title"}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
