"""Calls a task's function for a job: decodes its data, injects resources and the job, encodes the result."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from auth_worker.errors import ConfigurationError, UnknownJobTypeError
from auth_worker.job import Job
from auth_worker.tasks.task import AnyTask

_LONGEST_NAME = 100


def unknown_task(name: str) -> UnknownJobTypeError:
    """Return the error for a job that names no task of the queue."""
    printable = "".join(char if char.isprintable() else "?" for char in name[:_LONGEST_NAME])
    return UnknownJobTypeError(f"Unknown task: {printable}")


def check_resources(task: AnyTask, given: Mapping[Any, Any] | None = None) -> None:
    """Raise ``ConfigurationError`` if nothing provides a parameter, or if its types cannot be converted.

    ``given`` are resources by type that need not be registered with the queue.
    """
    for name, kind in task.definition.signature.resources.items():
        if kind not in (given or ()) and not task.queue.provides(kind):
            shown = getattr(kind, "__qualname__", str(kind))
            raise ConfigurationError(
                f"task {task.name}: parameter {name}: queue {task.queue.name} has no resource for {shown}; "
                "register one with @queue.resource"
            )


def has_resources(task: AnyTask) -> bool:
    """Whether its queue has what ``task`` takes."""
    return all(map(task.queue.provides, task.definition.signature.resources.values()))


def async_handler(task: AnyTask, resources: Mapping[Any, Any]) -> Callable[[Job], Awaitable[Any]]:
    """Return a consumer that calls ``task``, an ``async def``. ``resources`` are the open ones by type."""
    function, decode, encode_result = task.function, task.definition.decode, task.definition.encode_result
    provide = _provider(task, resources)

    async def handle(job: Job) -> Any:
        arguments = decode(job.data)
        if provide is not None:
            provide(arguments, job)
        return encode_result(await function(**arguments))

    return handle


def sync_handler(task: AnyTask, resources: Mapping[Any, Any]) -> Callable[[Job], Any]:
    """As ``async_handler``, for a plain ``def``. If that returns an awaitable, so does the consumer."""
    function, decode, encode_result = task.function, task.definition.decode, task.definition.encode_result
    provide = _provider(task, resources)

    def handle(job: Job) -> Any:
        arguments = decode(job.data)
        if provide is not None:
            provide(arguments, job)
        value = function(**arguments)
        return finish(value) if inspect.isawaitable(value) else encode_result(value)

    async def finish(value: Awaitable[Any]) -> Any:
        return encode_result(await value)

    return handle


def _provider(task: AnyTask, resources: Mapping[Any, Any]) -> Callable[[dict[str, Any], Job], None] | None:
    """Return what adds the job and ``resources`` to the arguments of a call; None if the task takes neither."""
    signature = task.definition.signature
    type_of = task.queue.resource_type
    provided = {
        name: resources[kind if kind in resources else type_of(kind)] for name, kind in signature.resources.items()
    }
    if not signature.jobs and not provided:
        return None

    def provide(arguments: dict[str, Any], job: Job) -> None:
        arguments.update(provided)
        for name in signature.jobs:
            arguments[name] = job

    return provide
