"""TaskQueue: a queue whose jobs are calls of functions."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Coroutine, Mapping
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar, overload

from auth_worker.core.execution_mode import Execution
from auth_worker.core.job_options_dict import Keep
from auth_worker.core.names import check_queue_name
from auth_worker.core.worker_config import WORKER_CONFIG, Backoff, WorkerConfig
from auth_worker.errors import ConfigurationError
from auth_worker.job import Job
from auth_worker.tasks.options import BackoffFunction, TaskPolicy, task_policy
from auth_worker.tasks.producers import LazyProducers
from auth_worker.tasks.resources import Resource, resource_of
from auth_worker.tasks.signature import TypeName
from auth_worker.tasks.task import AnyTask, Task

if TYPE_CHECKING:
    from auth_worker.config import Settings
    from auth_worker.flow import FlowProducer
    from auth_worker.queue import JobQueue

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])
ENQUEUE_TIMEOUT = 2.0
"""How long (s) connecting and each enqueue may take by default, so that a web request can still answer."""


class TaskDecorator(Protocol):
    """What ``@queue.task(...)`` returns: a decorator that makes a function a task.

    The worker provides a first parameter ``job: Job``, so ``enqueue`` does not take it.
    """

    @overload
    def __call__(
        self, function: Callable[Concatenate[Job, P], Coroutine[Any, Any, R]], /
    ) -> Task[P, R, Concatenate[Job, P], Coroutine[Any, Any, R]]: ...

    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> Task[P, R, P, Coroutine[Any, Any, R]]: ...

    @overload
    def __call__(self, function: Callable[Concatenate[Job, P], R], /) -> Task[P, R, Concatenate[Job, P], R]: ...

    @overload
    def __call__(self, function: Callable[P, R], /) -> Task[P, R, P, R]: ...

    def __call__(self, function: Any, /) -> Any:
        """Make ``function`` a task."""


class TaskQueue:
    """The queue ``name``, whose jobs call the functions that are decorated with ``task``.

    The worker runs them once its service includes the queue, with ``worker_config`` and
    ``dead_letter_queue_name`` as in ``WorkerService.register_processor``. Whoever enqueues connects to
    ``connection``, which is as in ``JobQueue`` (None: the settings), when the first job is enqueued. ``timeout``
    (s) bounds connecting and each enqueue. ``partitions`` is as in ``JobQueue``.

    Raises ``ConfigurationError`` naming the wrong argument.
    """

    def __init__(
        self,
        name: str,
        connection: Any = None,
        *,
        worker_config: WorkerConfig | Mapping[str, Any] = WORKER_CONFIG,
        dead_letter_queue_name: str | None = None,
        settings: Settings | None = None,
        timeout: float = ENQUEUE_TIMEOUT,
        partitions: int = 1,
    ) -> None:
        self.name = check_queue_name("name", name)
        self.worker_config = WorkerConfig.of(worker_config)
        self.dead_letter_queue_name = dead_letter_queue_name
        self.timeout = timeout
        self.tasks: dict[str, AnyTask] = {}
        """The tasks by name."""
        self.resources: dict[Any, Resource] = {}
        """The resources by type, in the order in which they are opened."""
        self.producers = LazyProducers(name, connection, settings, timeout, partitions)
        self.partitions = partitions

    def __repr__(self) -> str:
        return f"<TaskQueue {self.name!r} with {len(self.tasks)} tasks>"

    @property
    def jobs(self) -> JobQueue:
        """The untyped queue: for job schedulers, and for jobs of other names."""
        return self.producers.jobs

    @property
    def flows(self) -> FlowProducer:
        """Adds flows to the broker of this queue."""
        return self.producers.flows

    @overload
    def task(
        self, function: Callable[Concatenate[Job, P], Coroutine[Any, Any, R]], /
    ) -> Task[P, R, Concatenate[Job, P], Coroutine[Any, Any, R]]: ...

    @overload
    def task(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Task[P, R, P, Coroutine[Any, Any, R]]: ...

    @overload
    def task(self, function: Callable[Concatenate[Job, P], R], /) -> Task[P, R, Concatenate[Job, P], R]: ...

    @overload
    def task(self, function: Callable[P, R], /) -> Task[P, R, P, R]: ...

    @overload
    def task(
        self,
        /,
        *,
        name: str | None = None,
        execution: Execution = "auto",
        attempts: int | None = None,
        backoff: int | Backoff | Mapping[str, Any] | BackoffFunction | None = None,
        timeout: float | timedelta | None = None,
        priority: int | None = None,
        remove_on_complete: Keep | None = None,
        remove_on_fail: Keep | None = None,
        dead_letter: bool | str = True,
    ) -> TaskDecorator: ...

    def task(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        name: str | None = None,
        execution: Execution = "auto",
        attempts: int | None = None,
        backoff: int | Backoff | Mapping[str, Any] | BackoffFunction | None = None,
        timeout: float | timedelta | None = None,
        priority: int | None = None,
        remove_on_complete: Keep | None = None,
        remove_on_fail: Keep | None = None,
        dead_letter: bool | str = True,
    ) -> Any:
        """Make a function a task: ``@queue.task`` or ``@queue.task(attempts=5, timeout=30)``.

        An ``async def`` runs on the worker's event loop, a ``def`` in a thread, or with ``execution="process"`` in
        a process that is killed after ``timeout``. ``name`` is the name of its jobs (None: the function's),
        ``timeout`` is in s, ``backoff`` in ms, a ``Backoff``, or a function of the attempt and the error. Options
        that are None come from the queue's ``worker_config``. ``dead_letter`` says whether a job that fails for
        good leaves a dead letter, or names a dead-letter queue other than that of the ``TaskQueue``. Raises
        ``ConfigurationError`` naming the task.
        """
        scope = sys._getframe(1).f_locals
        options = {
            "attempts": attempts,
            "priority": priority,
            "remove_on_complete": remove_on_complete,
            "remove_on_fail": remove_on_fail,
        }

        def make(function: Callable[..., Any]) -> Any:
            own = name or _name_of(function)
            policy = task_policy(
                f"task {own}",
                execution=execution,
                timeout=timeout,
                backoff=backoff,
                options=options,
                dead_letter=dead_letter,
            )
            return self._add(function, own, policy, scope)

        return make if function is None else make(function)

    @overload
    def resource(self, factory: F, /) -> F: ...

    @overload
    def resource(self, /, *, provides: Any) -> Callable[[F], F]: ...

    def resource(self, factory: Any = None, /, *, provides: Any = None) -> Any:
        """Register a resource by the function that opens it, an async generator function with one ``yield``.

        Or a callable that returns an asynchronous context manager. Tasks get its value for parameters of the
        annotated type; ``provides`` names the type if the annotation does not. It is opened once per process
        before the first job, if a task there needs it, and closed after the last one, in reverse order.
        Raises ``ConfigurationError``.
        """
        module = sys._getframe(1).f_globals.get("__name__")

        def register(factory: F) -> F:
            resource = resource_of(factory, provides, module)
            if resource.type in self.resources or resource.type is Job:
                raise ConfigurationError(f"queue {self.name}: there is a resource for {resource.type} already")
            self.resources[resource.type] = resource
            return factory

        return register if factory is None else register(factory)

    def registration(self) -> dict[str, Any]:
        """Return the arguments of ``WorkerService.register_processor`` for this queue.

        Each task has a timeout of its own, and so the processor has none.
        """
        choices = {name: task.policy.dead_letter for name, task in self.tasks.items()}
        own = {name: choice or None for name, choice in choices.items() if choice is not True}
        queues = {**dict(self.worker_config.dead_letter_queues), **own}
        return {
            "queue_name": self.name,
            "processor": TaskConsumer(self),
            "worker_config": self.worker_config.model_copy(
                update={"timeout": None, "dead_letter_queues": tuple(sorted(queues.items()))}
            ),
            "dead_letter_queue_name": self.dead_letter_queue_name,
            "partitions": self.partitions,
        }

    def provides(self, kind: Any) -> bool:
        """Whether there is a resource for the type ``kind``."""
        return self.resource_type(kind) is not None

    def resource_type(self, kind: Any) -> Any:
        """Return the type for which a resource is registered that is of ``kind``, a type or its name, or None.

        Raises ``ConfigurationError`` if several have the name.
        """
        if isinstance(kind, TypeName):
            found = [each for each in self.resources if kind.is_of(each)]
            if len(found) > 1:
                raise ConfigurationError(
                    f"queue {self.name}: there are {len(found)} resources for a type {kind}: import the one that "
                    "is meant outside of `if TYPE_CHECKING:`"
                )
            return found[0] if found else None
        try:
            return kind if kind in self.resources else None
        except TypeError:  # it cannot be hashed
            return None

    async def close(self) -> None:
        """Disconnect from the broker, in every event loop. The next job that is enqueued connects again."""
        await self.producers.close()

    def _add(
        self, function: Callable[..., Any], name: str, policy: TaskPolicy, scope: Mapping[str, Any]
    ) -> AnyTask:
        wrapped = inspect.unwrap(function)
        # inspect takes a partial for a routine from Python 3.14 on.
        if not callable(function) or not inspect.isroutine(wrapped) or isinstance(wrapped, partial):
            raise ConfigurationError(f"queue {self.name}: a task is a function, not {type(function).__name__}")
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise ConfigurationError(
                f"task {name} is a generator (it has a yield): it must return the job's result"
            )
        if name in self.tasks:
            raise ConfigurationError(f"queue {self.name}: there is a task {name} already")
        task: AnyTask = Task(self, function, name, policy, scope)
        if task.is_async and policy.execution != "auto":
            raise ConfigurationError(
                f"task {name}: execution={policy.execution!r} is for a plain def; an async def runs on the loop"
            )
        if policy.dead_letter == self.name:
            raise ConfigurationError(f"task {name}: dead_letter must be another queue than {self.name}")
        self.tasks[name] = task
        return task


class TaskConsumer:
    """The consumer of a processor that runs all tasks of ``queue``. It brings its own executor."""

    def __init__(self, queue: TaskQueue) -> None:
        self.queue = queue

    def make_executor(self, concurrency: int) -> Any:
        """Return the executor. Its module is imported by workers only."""
        from auth_worker.tasks.executor import TaskExecutor

        return TaskExecutor(self.queue, concurrency)


def _name_of(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", type(function).__name__)
