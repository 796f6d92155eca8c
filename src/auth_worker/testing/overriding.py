"""Replaces a resource of tasks by a fake."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, TypeVar

from auth_worker.tasks import TaskQueue
from auth_worker.tasks.resources import Resource

T = TypeVar("T")


@contextlib.contextmanager
def override_resource(queue: TaskQueue, kind: type[Any], fake: T) -> Iterator[T]:
    """Give the tasks of ``queue`` this ``fake`` for the type ``kind`` while the block runs, in any worker.

    Worker processes (``execution="process"``) still open the resource itself.
    """
    kept = dict(queue.resources)
    queue.resources[kind] = Resource(kind, lambda: contextlib.nullcontext(fake), f"fake {kind.__name__}")
    try:
        yield fake
    finally:
        queue.resources.clear()
        queue.resources.update(kept)
