"""Lets a job in a worker process use its queue: the process sends requests, which the service performs."""

from __future__ import annotations

import asyncio
import os
import pickle
import threading
from collections.abc import Callable
from typing import Any

from auth_worker.core.error_text import error_trace
from auth_worker.engine.executors.transport import ActionRequest, Raised, Returned, raised, returned, value_of
from auth_worker.job import BlockingActions, Job


class RemoteActions(BlockingActions):
    """The actions of one run in its worker process. ``ask`` sends a request to the service and returns the answer.

    Raises ``RuntimeError`` once the run has ended, and in a child that the consumer has forked.
    """

    def __init__(self, ask: Callable[[ActionRequest], Any]) -> None:
        self._ask = ask
        self._asking = threading.Lock()
        self._process = os.getpid()
        self._ended = False

    async def add_log(self, job: Job, row: str) -> int:
        """As in ``JobActions``."""
        return int(self._result_of("log", row))

    async def update_progress(self, job: Job, value: Any) -> None:
        """As in ``JobActions``."""
        self._result_of("update_progress", value)

    async def extend_lease(self, job: Job) -> None:
        """As in ``JobActions``."""
        self._result_of("extend_lease")

    async def children_values(self, job: Job) -> dict[str, Any]:
        """As in ``JobActions``."""
        return dict(self._result_of("children_values"))

    async def children_failures(self, job: Job) -> dict[str, str]:
        """As in ``JobActions``."""
        return dict(self._result_of("children_failures"))

    def end(self) -> None:
        """Refuse further requests, of threads that outlive the run. A pending one is answered first."""
        with self._asking:
            self._ended = True

    def _result_of(self, method: str, *arguments: Any) -> Any:
        if os.getpid() != self._process:
            raise RuntimeError(
                "a child that the consumer has forked cannot reach the job's log, progress or lease: "
                "they belong to its parent"
            )
        try:
            pickled = pickle.dumps(arguments)
        except Exception:
            kinds = ", ".join(type(each).__name__ for each in arguments)
            raise TypeError(f"{method} takes JSON, and not what is in this {kinds}") from None
        with self._asking:
            if self._ended:
                raise RuntimeError("the run of this job has ended")
            answer = self._ask(ActionRequest(method, pickled))
        return value_of(answer)


async def perform_request(request: ActionRequest, job: Job) -> Returned | Raised:
    """Perform in the service what ``job`` requests in its worker process, and return the answer to it."""
    try:
        arguments = pickle.loads(request.arguments)  # noqa: S301 - from our own process
        return returned(await getattr(job, request.method)(*arguments))
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        return raised(error, error_trace(error, job.data))
