"""A TaskQueue whose tasks take a resource of a module that only the worker imports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auth_worker.tasks import INJECTED, TaskQueue

if TYPE_CHECKING:
    from support import heavy_resources
    from support.heavy_resources import Model

queue = TaskQueue("lightQueue", worker_config={"concurrency": 2, "attempts": 1})


@queue.task
async def predict(number: int, *, model: Model = INJECTED) -> int:
    return model.predict(number)


@queue.task(execution="process")
def predict_in_process(number: int, *, model: heavy_resources.Model = INJECTED) -> int:
    return model.predict(number)
