"""Task: a function whose calls can be enqueued as jobs. Enqueuer: a task with options of its jobs."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, Unpack

from auth_worker.errors import InvalidJobDataError, UnrecoverableError
from auth_worker.flow import Flow
from auth_worker.system.main_reimport import stop_reimported_main
from auth_worker.tasks.codec import Fields, UnfitValuesError
from auth_worker.tasks.handle import JobHandle
from auth_worker.tasks.options import TaskOptions, TaskPolicy, with_options
from auth_worker.tasks.scheduler import Repeat, TaskScheduler
from auth_worker.tasks.signature import Signature, read_signature

if TYPE_CHECKING:
    from auth_worker.tasks.queue import TaskQueue

P = ParamSpec("P")
"""What ``enqueue`` takes."""
R = TypeVar("R")
"""What a job results in."""
Q = ParamSpec("Q")
V = TypeVar("V")
"""What the plain function takes and returns."""
_SCALARS = frozenset((type(None), bool, int, str))


class Definition:
    """What a task's function takes and returns, and the conversion of both to and from JSON.

    Raises ``ConfigurationError`` for types that cannot be converted.
    """

    def __init__(self, owner: str, signature: Signature) -> None:
        self.signature = signature
        self._owner = owner
        self._arguments = Fields(owner, signature.data, signature.optional)
        self._result = Fields(f"{owner}: its result", {"result": signature.result}, is_result=True)
        self._scalar = signature.result if signature.result in _SCALARS else None
        if signature.result is None:
            self._scalar = type(None)

    def encode(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Convert a call's arguments to the job's data. Raises ``TypeError`` and ``InvalidJobDataError``."""
        given = self._bound(args, kwargs)
        try:
            return self._arguments.write(given)
        except UnfitValuesError as error:
            fields = error.fields
        raise InvalidJobDataError(f"Invalid data for {self._owner}", fields)

    def decode(self, data: Any) -> dict[str, Any]:
        """Convert a job's data to arguments; null means no arguments. Raises ``InvalidJobDataError``."""
        try:
            return self._arguments.read({} if data is None else data)
        except UnfitValuesError as error:
            fields = error.fields
        raise InvalidJobDataError(f"Invalid data for {self._owner}", fields)

    def encode_result(self, value: Any) -> Any:
        """Convert a returned value to JSON. Raises ``UnrecoverableError`` if it is not of the declared type."""
        if type(value) is self._scalar:
            return value
        try:
            return self._result.convert({"result": value})["result"]
        except UnfitValuesError as error:
            fields = "; ".join(f"{field['field']}: {field['message']}" for field in error.fields)
        raise UnrecoverableError(f"the result of {self._owner} is not what its annotation says ({fields})")

    def decode_result(self, value: Any) -> Any:
        """Convert a result from JSON to the declared type. Raises ``InvalidJobDataError``."""
        try:
            return self._result.read({"result": value})["result"]
        except UnfitValuesError as error:
            fields = error.fields
        raise InvalidJobDataError(f"the result of {self._owner} is not what its annotation says", fields)

    def _bound(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        signature = self.signature
        if len(args) > len(signature.positional):
            raise TypeError(
                f"{self._owner} takes {len(signature.positional)} positional arguments, not {len(args)}"
            )
        given = dict(zip(signature.positional, args, strict=False))
        for name, value in kwargs.items():
            if name in given:
                raise TypeError(f"{self._owner} got two values for {name}")
            if name not in signature.data:
                provided = name in signature.jobs or name in signature.resources
                what = "the worker provides" if provided else "there is no parameter"
                raise TypeError(f"{self._owner}: {what} {name}")
            given[name] = value
        return given


class Enqueuer(Generic[P, R]):
    """Enqueues jobs of one task with certain options. ``task.options(...)`` returns one."""

    def __init__(self, task: AnyTask, options: dict[str, Any]) -> None:
        self._task = task
        self._options = options

    @property
    def task(self) -> AnyTask:
        """The task."""
        return self._task

    @property
    def job_options(self) -> dict[str, Any]:
        """The options of the jobs, including those of the task."""
        return dict(self._options)

    async def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """Add a job that calls the task with these arguments. Connects when it is the first one.

        Raises ``InvalidJobDataError`` naming the fields that are wrong, ``TypeError`` for a call that the function
        would refuse, ``BrokerError`` if Redis refuses the job or cannot be reached within the queue's timeout.
        """
        task = self._task
        data = task.definition.encode(args, kwargs)
        job = await task.queue.jobs.add(task.name, data, **self._options)
        return JobHandle(job.id, task.queue.name, job.created, task)

    def enqueue_sync(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """As ``enqueue``, for code without an event loop. Blocks until the job is added.

        Any thread and any forked child may call it. In an ``async def`` use ``enqueue``: this one blocks the loop.
        """
        stop_reimported_main()
        task = self._task
        data = task.definition.encode(args, kwargs)
        job = task.queue.jobs.sync.add(task.name, data, **self._options)
        return JobHandle(job.id, task.queue.name, job.created, task)

    def flow(self, *args: P.args, **kwargs: P.kwargs) -> Flow:
        """Return a flow of one job that calls the task with these arguments; ``after`` gives it children.

        It is added by ``flow.add``. Raises ``InvalidJobDataError`` and ``TypeError`` as ``enqueue``.
        """
        task = self._task
        data = task.definition.encode(args, kwargs)
        made = Flow(task.name, data, queue=task.queue.name, **self._options)
        made.producer = task.queue.flows
        return made

    def scheduler(self, scheduler_id: str, **repeat: Unpack[Repeat]) -> TaskScheduler[P]:
        """Return a job scheduler that enqueues calls of the task, once ``upsert`` is called.

        ``repeat`` are ``every`` (ms, or a ``timedelta``) or a cron ``pattern``, and the rest of
        ``JobQueue.upsert_job_scheduler``.
        """
        return TaskScheduler(self, scheduler_id, repeat)

    def handle(self, job_id: str) -> JobHandle[R]:
        """Return the handle of a job of this task that was enqueued before, perhaps by another program."""
        return JobHandle(job_id, self._task.queue.name, False, self._task)

    def read_result(self, value: Any) -> R:
        """Convert a result of this task, as from ``job.children_values()``, to the declared type.

        Raises ``InvalidJobDataError``.
        """
        result: R = self._task.definition.decode_result(value)
        return result

    def options(self, **options: Unpack[TaskOptions]) -> Enqueuer[P, R]:
        """Return an enqueuer with these options. Raises ``ConfigurationError`` naming a wrong one."""
        return Enqueuer(self._task, with_options(self._options, options))


class Task(Enqueuer[P, R], Generic[P, R, Q, V]):
    """A function that ``@queue.task`` has made a task: call it as before, or enqueue a call.

    ``name`` is the name of its jobs. ``policy`` says how they are run.
    """

    def __init__(
        self,
        queue: TaskQueue,
        function: Callable[Q, V],
        name: str,
        policy: TaskPolicy,
        scope: Mapping[str, Any],
    ) -> None:
        super().__init__(self, policy.options)
        self.queue = queue
        self.function = function
        self.name = name
        self.policy = policy
        self._scope = scope
        functools.update_wrapper(self, function, updated=())

    def __call__(self, *args: Q.args, **kwargs: Q.kwargs) -> V:
        """Call the plain function, without a queue."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<Task {self.name!r} of {self.queue.name}>"

    def __reduce__(self) -> str:
        """Pickle it by its name, as a function."""
        return str(getattr(self, "__qualname__", self.name))

    @property
    def is_async(self) -> bool:
        """Whether the function is an ``async def``."""
        return inspect.iscoroutinefunction(self.function)

    @functools.cached_property
    def definition(self) -> Definition:
        """What the function takes and returns. Read at first use, when all resources of the queue are known.

        Raises ``ConfigurationError`` for types that cannot be converted.
        """
        owner = f"task {self.name}"
        is_resource = self.queue.provides
        return Definition(owner, read_signature(owner, self.function, self._scope, is_resource))


AnyTask = Task[Any, Any, Any, Any]
"""A task of any function."""
