"""Reads who works the queues, from heartbeats and connections, and leaves requests for worker processes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import get_args

from pydantic import Field, ValidationError

from auth_worker.admin.errors import NotFoundError
from auth_worker.admin.models import Change, WorkerEntry
from auth_worker.admin.queues import QueueOperations
from auth_worker.core.camel_model import CamelModel
from auth_worker.core.heartbeat import SILENCE_MS, Heartbeat, WorkerRequest
from auth_worker.core.ports.heartbeats import StoredHeartbeat
from auth_worker.core.ports.operator import OperatorBroker
from auth_worker.errors import BrokerError, BrokerUnavailableError, ConfigurationError


class WorkerProcess(Heartbeat):
    """A worker process as its last heartbeat, ``silent_ms`` ago, says. Its times are those of that moment.

    ``is_silent``: no heartbeat has come lately, so it hangs, is cut off from the broker or has died.
    """

    silent_ms: int

    @property
    def is_silent(self) -> bool:
        """Whether its heartbeat is overdue."""
        return self.silent_ms > SILENCE_MS

    @property
    def leases_lost(self) -> int:
        """How many leases it has lost, in all of its queues."""
        return sum(queue.leases_lost for queue in self.queues)


class WorkerList(CamelModel):
    """All worker processes that send heartbeats, and the connections of ``others``, such as Node's workers.

    ``others_known`` is False if the broker's user may not list connections.
    """

    processes: list[WorkerProcess] = Field(default_factory=list)
    others: list[WorkerEntry] = Field(default_factory=list)
    others_known: bool = True

    def slots(self) -> dict[str, int]:
        """Return how many jobs each queue's workers run at a time, of the queues whose workers all say it."""
        found: dict[str, int] = {}
        for process in self.processes:
            for beat in process.queues if not process.is_silent else ():
                found[beat.queue] = found.get(beat.queue, 0) + beat.slots
        unknown = {entry.queue for entry in self.others}
        return {queue: slots for queue, slots in found.items() if queue not in unknown}

    def of_queue(self, queue: str) -> WorkerList:
        """Return those that work this queue."""
        return WorkerList(
            processes=[one for one in self.processes if queue in [beat.queue for beat in one.queues]],
            others=[one for one in self.others if one.queue == queue],
            others_known=self.others_known,
        )


class WorkerOperations:
    """The workers of the queues of ``broker``. Every coroutine may raise ``BrokerError``.

    ``record`` is called with each request.
    """

    def __init__(self, broker: OperatorBroker, queues: QueueOperations, record: Callable[[Change], None]) -> None:
        self._keeper = broker.heartbeats()
        self._queues = queues
        self._record = record

    async def find(self) -> WorkerList:
        """Return all workers: the processes sorted by host and process id, the others by queue and name."""
        processes, others = await asyncio.gather(self.processes(), self._connections())
        announced = {(beat.queue, beat.worker) for process in processes for beat in process.queues}
        unknown = [entry for entry in others or () if (entry.queue, entry.name) not in announced]
        return WorkerList(
            processes=processes,
            others=sorted(unknown, key=lambda entry: (entry.queue.casefold(), entry.name, entry.address)),
            others_known=others is not None,
        )

    async def processes(self) -> list[WorkerProcess]:
        """Return the worker processes that have sent a heartbeat lately, sorted by host and process id."""
        found = [one for stored in await self._keeper.heartbeats() if (one := _read(stored)) is not None]
        return sorted(found, key=lambda process: (process.host.casefold(), process.pid, process.id))

    async def request(self, process_id: str, action: str) -> WorkerProcess:
        """Request of a process to pause, resume or shut down. It takes it up with its next heartbeat.

        Only this process pauses. One that shuts down lets its running jobs end, and hands back those that do not.
        Raises ``ConfigurationError`` for another action, ``NotFoundError`` if there is no such process.
        """
        if action not in get_args(WorkerRequest):
            raise ConfigurationError(
                f"a worker process can {', '.join(get_args(WorkerRequest))}: not {action!r:.40}"
            )
        process = await self.get(process_id)
        if not await self._keeper.request(process_id, action):
            raise _unknown(process_id)
        self._record(Change(action=f"{action} worker", queue="", target=f"{process.host} {process.pid}"))
        return process

    async def get(self, process_id: str) -> WorkerProcess:
        """Return a process. Raises ``NotFoundError``."""
        found = next((each for each in await self.processes() if each.id == process_id), None)
        if found is None:
            raise _unknown(process_id)
        return found

    async def _connections(self) -> list[WorkerEntry] | None:
        try:
            return await self._queues.workers()
        except BrokerUnavailableError:
            raise
        except BrokerError:  # the user may not list connections; the heartbeats are worth showing
            return None


def _read(stored: StoredHeartbeat) -> WorkerProcess | None:
    """Return the process of a heartbeat; None for one that another version has written in another way."""
    try:
        beat = Heartbeat.model_validate_json(stored.record)
    except ValidationError:
        return None
    return WorkerProcess(**beat.model_dump(), silent_ms=stored.age_ms)


def _unknown(process_id: str) -> NotFoundError:
    return NotFoundError(f"there is no worker process {process_id!r:.40}: it has stopped, or sends no heartbeats")
