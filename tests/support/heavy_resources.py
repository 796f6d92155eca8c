"""What the tasks of ``light_tasks`` need, in a module that only the worker imports."""

from __future__ import annotations

from collections.abc import AsyncIterator

from support.light_tasks import queue


class Model:
    """Stands where a library would be that takes seconds to import."""

    def predict(self, number: int) -> int:
        return 10 * number


@queue.resource
async def model() -> AsyncIterator[Model]:
    yield Model()
