"""Runs tasks with ``execution="process"`` in a worker process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

from auth_worker.job import Job
from auth_worker.system.background_loop import call_at_exit, run_in_background
from auth_worker.tasks.handlers import check_resources, has_resources, sync_handler, unknown_task
from auth_worker.tasks.resources import OpenResources, needed_resources
from auth_worker.tasks.task import AnyTask

OPEN_S = 55.0
"""How long (s) the resources of a worker process may take to open; a little less than it may take to start."""


class ProcessConsumer:
    """The consumer of ``tasks``, all of one queue. Unpickling it in a worker process opens their resources."""

    def __init__(self, tasks: Sequence[AnyTask]) -> None:
        self._tasks = tuple(tasks)
        self.__qualname__ = ", ".join(task.name for task in tasks)
        self.__module__ = str(getattr(tasks[0], "__module__", None))
        self._handlers: dict[str, Callable[[Job], Any]] = {}
        self.ended_resources: list[tuple[str, str]] = []
        """The names of resources that have ended by themselves, and why: this process should be replaced."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the tasks by their names, and the modules that register their resources.

        The tasks' own modules need not import those.
        """
        modules = {resource.module for resource in needed_resources(self._tasks) if resource.module is not None}
        connection, settings = self._tasks[0].queue.producers.given
        place = connection if isinstance(connection, str | Mapping) else None, settings
        return _open, (self._tasks, sorted(modules), place)

    def __call__(self, job: Job) -> Any:
        """Run the task that the job names. Raises ``UnknownJobTypeError``."""
        handler = self._handlers.get(job.name)
        if handler is None:
            raise unknown_task(job.name)
        return handler(job)

    def open(self) -> None:
        """Open the resources of this process. They are closed when it exits normally.

        Raises ``ConfigurationError`` naming a resource that did not open.
        """
        for task in self._tasks:
            check_resources(task)
        resources = OpenResources(needed_resources(self._tasks))
        resources.report = lambda name, why: self.ended_resources.append((name, why))
        if resources:
            run_in_background(resources.open(), OPEN_S)
            call_at_exit(resources.close)
        self._handlers = {task.name: sync_handler(task, resources.values) for task in self._tasks}


def _open(tasks: tuple[AnyTask, ...], modules: Sequence[str], place: tuple[Any, Any]) -> ProcessConsumer:
    tasks[0].queue.producers.move(*place)
    for name in modules:
        if not all(map(has_resources, tasks)):
            import_module(name)
    consumer = ProcessConsumer(tasks)
    consumer.open()
    return consumer
