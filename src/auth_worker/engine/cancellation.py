"""Cancels the runs of one queue for which a producer or an operator has requested it."""

from __future__ import annotations

import asyncio

from auth_worker.core.error_text import error_text
from auth_worker.core.outcome import Cause
from auth_worker.core.ports.worker import WorkerBroker
from auth_worker.core.run import Run
from auth_worker.engine.launcher import Launcher
from auth_worker.engine.registry import Registry
from auth_worker.errors import BrokerError
from auth_worker.events import EventBus, Problem
from auth_worker.messages import WORKER_ERRORS

LOOK_S = 0.05
"""How long (s) until a run whose outcome is being written is looked at again."""


class CancellationRequests:
    """Handles requests to cancel jobs of ``queue``.

    Belongs to the work loop. Our tokens start with ``worker_id``.
    """

    def __init__(
        self,
        broker: WorkerBroker,
        registry: Registry,
        launcher: Launcher,
        bus: EventBus,
        queue: str,
        worker_id: str,
    ) -> None:
        self._broker = broker
        self._registry = registry
        self._launcher = launcher
        self._bus = bus
        self._queue = queue
        self._worker_id = worker_id
        self._late: set[asyncio.Task[None]] = set()
        self._stopped = False

    def request(self, job_id: str, token: str, reason: str, partition: int = 0) -> None:
        """Cancel the run with ``token``, or the job, in this partition, if that run has just ended.

        If that run did not end its job, as one that is retried, the job is cancelled in its new state.
        """
        if self._stopped or not token.startswith(self._worker_id):
            return
        run = self._registry.find(job_id, token)
        if run is None:
            task = asyncio.create_task(self._cancel_job(job_id, reason, partition), name=f"cancel {job_id}")
            self._late.add(task)
            task.add_done_callback(self._late.discard)
        elif run.is_decided:
            asyncio.get_running_loop().call_later(LOOK_S, self.request, job_id, token, reason, partition)
        else:
            self._launcher.cancel(Cause.CANCELLED, [run], reason)

    def found(self, requested: list[tuple[Run, str]]) -> None:
        """Cancel the runs for which a renewal of leases found a request, each with its reason."""
        for run, reason in requested:
            self._launcher.cancel(Cause.CANCELLED, [run], reason)

    async def stop(self) -> None:
        """Stop handling requests. Those that are not handled yet stay stored with their jobs."""
        self._stopped = True
        for task in self._late:
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)

    async def _cancel_job(self, job_id: str, reason: str, partition: int) -> None:
        try:
            await self._broker.cancel(job_id, reason, partition)
        except BrokerError as error:  # whoever fetches the job again sees the request
            self._bus.emit(Problem(WORKER_ERRORS.BROKER_REFUSED, self._queue, error_text(error), error.code))
