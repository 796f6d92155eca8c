"""Our consumers that are a plain ``def``: they run in threads, or in processes that import them from here."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from auth_worker import Job
from auth_worker.engine.executors import Executor, ProcessExecutor, ThreadExecutor


def do_nothing(job: Job) -> None:
    """A no-op job."""


def sleep_10_ms(job: Job) -> None:
    """A job that blocks its thread for 10 ms."""
    time.sleep(0.01)


CONSUMERS: dict[int, Callable[[Job], None]] = {0: do_nothing, 10: sleep_10_ms}
"""By ``Order.sleep_ms``."""


class Counted:
    """Runs ``consumer`` where ``execution`` says, once ``count`` has seen the job's data in the service itself."""

    def __init__(
        self,
        consumer: Callable[[Job], None],
        execution: str,
        count: Callable[[Mapping[str, Any]], Awaitable[None]],
    ) -> None:
        self._consumer = consumer
        self._execution = execution
        self._count = count

    def make_executor(self, concurrency: int) -> Executor:
        """An executor of ours that counts."""
        base: type[ThreadExecutor | ProcessExecutor]
        base = ProcessExecutor if self._execution == "process" else ThreadExecutor
        count = self._count

        class Counting(base):  # type: ignore[valid-type, misc] # one of two
            async def __call__(self, job: Job) -> Any:
                await count(job.data)
                return await super().__call__(job)

        executor: Executor = Counting(self._consumer, concurrency)
        return executor

    def __call__(self, job: Job) -> None:
        """Never called: the service asks for the executor."""
        raise NotImplementedError
