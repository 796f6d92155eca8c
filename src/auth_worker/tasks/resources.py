"""Opens the resources of tasks once per process, and closes them in reverse order."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import typing
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from auth_worker.core.error_text import error_text
from auth_worker.errors import ConfigurationError

if TYPE_CHECKING:
    from auth_worker.tasks.task import AnyTask

CLOSE_S = 5.0
"""How long (s) closing all resources of a queue may take."""
_YIELDING = (AsyncIterator, AsyncGenerator, contextlib.AbstractAsyncContextManager)


class Resource(NamedTuple):
    """A resource of a ``type``. ``factory`` returns an asynchronous context manager that opens it.

    ``module`` is the one that registers it; None if that is unknown.
    """

    type: Any
    factory: Callable[[], contextlib.AbstractAsyncContextManager[Any]]
    name: str
    module: str | None = None


def resource_of(factory: Callable[..., Any], provides: Any = None, module: str | None = None) -> Resource:
    """Return the resource of an async generator function, or of a callable that returns an async context manager.

    ``provides`` is its type; None means the one that the return annotation names. ``module`` registers it.
    Raises ``ConfigurationError``.
    """
    name = getattr(factory, "__qualname__", type(factory).__qualname__)
    if not callable(factory):
        raise ConfigurationError(f"a resource is a function, not {type(factory).__name__}")
    required = [each for each in _parameters(factory) if each.default is each.empty]
    if required:
        raise ConfigurationError(f"resource {name} is called without arguments, but has {required[0]}")
    if provides is None:
        provides = _provided(factory, name)
    if inspect.isasyncgenfunction(factory):
        factory = contextlib.asynccontextmanager(factory)
    elif inspect.iscoroutinefunction(factory) or inspect.isgeneratorfunction(factory):
        raise ConfigurationError(
            f"resource {name} must be an async def with one yield, or return an async context"
        )
    return Resource(provides, factory, name, module)


class OpenResources:
    """Opens ``resources`` in order, in a task of their own, which closes them in reverse order.

    Some context managers must be left in the task that entered them. ``values`` are the open resources by type;
    those ``given`` are open already.
    """

    def __init__(self, resources: Iterable[Resource], given: Mapping[Any, Any] | None = None) -> None:
        self.values: dict[Any, Any] = dict(given or {})
        self._resources = [each for each in resources if each.type not in self.values]
        self._task: asyncio.Task[None] | None = None
        self._leave = asyncio.Event()

    def __bool__(self) -> bool:
        return bool(self._resources)

    async def open(self) -> None:
        """Open them. Raises ``ConfigurationError`` naming the one that failed; those before it are closed."""
        if not self._resources:
            return
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._hold(opened), name="resources of tasks")
        try:
            await asyncio.wait({opened, self._task}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=CLOSE_S)
            raise
        if not opened.done():
            task, self._task = self._task, None
            task.result()

    async def close(self) -> str | None:
        """Close them, for at most 5 s. Returns what went wrong, if anything did. Never raises."""
        task, self._task = self._task, None
        if task is None:
            return None
        self._leave.set()
        done, _ = await asyncio.wait({task}, timeout=CLOSE_S)
        if not done:
            task.cancel()
            return f"the resources of the tasks did not close within {CLOSE_S:g} s"
        if task.cancelled() or (error := task.exception()) is None:
            return None
        return f"a resource of the tasks did not close: {type(error).__name__}: {error_text(error)}"

    async def _hold(self, opened: asyncio.Future[None]) -> None:
        """Open all, wait, and close all; what went wrong is raised afterwards, so that no resource sees it."""
        failure: BaseException | None = None
        async with contextlib.AsyncExitStack() as stack:
            try:
                for resource in self._resources:
                    self.values[resource.type] = await _entered(stack, resource)
                opened.set_result(None)
                await self._leave.wait()
            except (ConfigurationError, asyncio.CancelledError) as error:
                failure = error
        if failure is not None:
            raise failure


async def _entered(stack: contextlib.AsyncExitStack, resource: Resource) -> Any:
    try:
        return await stack.enter_async_context(resource.factory())
    except Exception as error:
        raise ConfigurationError(
            f"resource {_type_name(resource.type)} ({resource.name}) did not open: "
            f"{type(error).__name__}: {error_text(error)}"
        ) from error


def needed_resources(tasks: Iterable[AnyTask]) -> list[Resource]:
    """Return the resources that ``tasks``, all of one queue, take, in the order of their registration."""
    tasks = list(tasks)
    needed = [
        task.queue.resource_type(kind) for task in tasks for kind in task.definition.signature.resources.values()
    ]
    registered = tasks[0].queue.resources.values() if tasks else []
    return [resource for resource in registered if resource.type in needed]


def _parameters(factory: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        found = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return []
    return [each for each in found if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]


def _provided(factory: Callable[..., Any], name: str) -> Any:
    """Return what the return annotation says the factory gives."""
    try:
        returned = typing.get_type_hints(factory).get("return")
    except (NameError, TypeError):
        returned = None
    if typing.get_origin(returned) in _YIELDING:
        return typing.get_args(returned)[0]
    if inspect.isclass(factory) and hasattr(factory, "__aenter__"):
        return factory
    raise ConfigurationError(
        f"resource {name}: annotate what it gives, as in `async def {name}() -> AsyncIterator[Client]`, or name "
        "the type: @queue.resource(provides=Client)"
    )


def _type_name(kind: Any) -> str:
    return getattr(kind, "__qualname__", None) or str(kind)
