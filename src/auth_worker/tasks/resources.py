"""Opens the resources of tasks once per process, and closes them in reverse order."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import time
import typing
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from auth_worker.core.error_text import error_text
from auth_worker.core.exception_groups import deciding_error
from auth_worker.errors import ConfigurationError

if TYPE_CHECKING:
    from auth_worker.tasks.task import AnyTask

CLOSE_S = 5.0
"""How long (s) closing all resources of a queue may take."""
Report = Callable[[str, str], None]
_YIELDING = (AsyncIterator, AsyncGenerator, contextlib.AbstractAsyncContextManager)


class Resource(NamedTuple):
    """A resource of a ``type``. ``factory`` returns an asynchronous context manager that opens it.

    ``module`` is the one that registers it; None if that is unknown. ``origin`` is what was registered, of which
    ``factory`` was made.
    """

    type: Any
    factory: Callable[[], contextlib.AbstractAsyncContextManager[Any]]
    name: str
    module: str | None = None
    origin: Any = None

    @property
    def key(self) -> Any:
        """What is equal for the same resource of several queues."""
        return id(self.factory if self.origin is None else self.origin)


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
    origin = factory
    if provides is None:
        provides = _provided(factory, name)
    if inspect.isasyncgenfunction(factory):
        factory = contextlib.asynccontextmanager(factory)
    elif inspect.iscoroutinefunction(factory) or inspect.isgeneratorfunction(factory):
        raise ConfigurationError(
            f"resource {name} must be an async def with one yield, or return an async context"
        )
    return Resource(provides, factory, name, module, origin)


class OpenResources:
    """Opens ``resources`` in order, and closes them in reverse order.

    One that several queues take is opened once for an event loop, and closed when the last of them has closed it.
    ``values`` are what they gave, by type; what is ``given`` is there already and not opened.
    """

    def __init__(self, resources: Iterable[Resource], given: Mapping[Any, Any] | None = None) -> None:
        self.values: dict[Any, Any] = dict(given or {})
        self._resources = [each for each in resources if each.type not in self.values]
        self._used: list[_OpenResource] = []
        self.report: Report = _ignore
        """Called for a resource that ends before ``close``, with its name and why."""

    def __bool__(self) -> bool:
        return bool(self._resources)

    async def open(self) -> None:
        """Open them. Raises ``ConfigurationError`` naming the one that failed; those before it are closed."""
        try:
            for resource in self._resources:
                used = _use(resource, self.report)
                self._used.append(used)
                self.values[resource.type] = await used.value()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> str | None:
        """Close them, for at most 5 s. Returns what went wrong, if anything did. Never raises."""
        deadline = time.monotonic() + CLOSE_S
        problems = []
        while self._used:
            problems.append(await self._used.pop().release(self.report, deadline - time.monotonic()))
        return next(filter(None, problems), None)


class _OpenResource:
    """A resource that is open in one event loop, held by a task of its own, in which it is also closed.

    Some context managers must be left in the task that entered them. ``place`` is where ``_use`` finds it.
    """

    def __init__(self, resource: Resource, place: dict[Any, _OpenResource]) -> None:
        self.users: list[Report] = []
        """How each user learns that it has ended."""
        self._resource = resource
        self._place = place
        self._leave = asyncio.Event()
        self._was_reported = False
        self._opened: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._hold(), name=f"resource {resource.name}")
        self._task.add_done_callback(self._ended)

    async def value(self) -> Any:
        """Wait until it is open, and return what it gave. Raises ``ConfigurationError`` if it does not open."""
        await asyncio.wait({self._opened, self._task}, return_when=asyncio.FIRST_COMPLETED)
        if not self._opened.done():
            self._task.result()
        return self._opened.result()

    async def release(self, user: Report, timeout: float) -> str | None:
        """Close it within ``timeout`` s if nobody else uses it. Returns what went wrong, if anything did."""
        self.users.remove(user)
        if self.users or self._was_reported:
            return None
        self._forget()
        self._leave.set()
        if not self._opened.done():
            self._task.cancel()
        done, _ = await asyncio.wait({self._task}, timeout=max(timeout, 0))
        if not done:
            self._task.cancel()
            return f"the resources of the tasks did not close within {CLOSE_S:g} s"
        if self._task.cancelled() or (error := self._task.exception()) is None or not self._opened.done():
            return None
        return f"a resource of the tasks did not close: {type(error).__name__}: {error_text(error)}"

    async def _hold(self) -> None:
        """Open it, wait, and close it; an error of opening is raised afterwards, so that it does not see it."""
        failure: BaseException | None = None
        async with contextlib.AsyncExitStack() as stack:
            try:
                self._opened.set_result(await _entered(stack, self._resource))
                await self._leave.wait()
            except (ConfigurationError, asyncio.CancelledError) as error:
                failure = error
        if failure is not None:
            raise failure

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Report it to its users if it has ended by itself, as where a task fails that it has started.

        A task that somebody cancels, as a loop that shuts down does, has not.
        """
        self._forget()
        is_open = self._opened.done() and not self._leave.is_set()
        if not is_open or task.cancelling():
            return
        error = asyncio.CancelledError() if task.cancelled() else task.exception() or RuntimeError("it returned")
        cause = deciding_error(error)
        self._was_reported = True
        for report in list(self.users):
            report(self._resource.name, f"{type(cause).__name__}: {error_text(cause)}")

    def _forget(self) -> None:
        if self._place.get(self._resource.key) is self:
            del self._place[self._resource.key]


_open_by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Any, _OpenResource]] = WeakKeyDictionary()


def _use(resource: Resource, user: Report) -> _OpenResource:
    """Return the resource as it is open, or is being opened, in the running loop. Whoever gets it releases it."""
    place = _open_by_loop.setdefault(asyncio.get_running_loop(), {})
    used = place.get(resource.key)
    if used is None:
        used = place[resource.key] = _OpenResource(resource, place)
    used.users.append(user)
    return used


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


def _ignore(name: str, why: str) -> None:
    """Leave it to whoever uses the resource."""


def _type_name(kind: Any) -> str:
    return getattr(kind, "__qualname__", None) or str(kind)
