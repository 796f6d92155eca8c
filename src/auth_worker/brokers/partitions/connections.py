"""The connections of the partitions of a queue, as those of one queue."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from auth_worker.brokers.partitions.view import PartitionedBrokerView
from auth_worker.brokers.partitions.worker import PartitionedWorkerBroker
from auth_worker.core.partitions import partition_names
from auth_worker.core.ports.connections import OnCancelledIn, QueueConnections
from auth_worker.core.worker_config import WorkerConfig


class PartitionedConnections:
    """A ``QueueConnections`` for ``queue``, over those of its partitions, by number. Some may be the same."""

    def __init__(self, queue: str, parts: Sequence[QueueConnections]) -> None:
        self._parts = list(zip(partition_names(queue, len(parts)), parts, strict=True))
        self._queue = queue
        self.view = PartitionedBrokerView(queue, [part.view for part in parts])

    def worker_broker(
        self, queue: str, config: WorkerConfig, *, name: str, dead_letter_queue: str | None
    ) -> PartitionedWorkerBroker:
        """As in ``QueueConnections``."""
        letters = self._letter_names(dead_letter_queue)
        routes = {job: self._letter_names(to) for job, to in config.dead_letter_queues}
        brokers = [
            part.worker_broker(
                each,
                config.model_copy(
                    update={"dead_letter_queues": tuple((job, to[number]) for job, to in routes.items())}
                ),
                name=name,
                dead_letter_queue=letters[number],
            )
            for number, (each, part) in enumerate(self._parts)
        ]
        return PartitionedWorkerBroker(queue, brokers, config.concurrency)

    async def announce(self, queue: str, worker: str, on_cancelled: OnCancelledIn) -> None:
        """As in ``QueueConnections``: in the list of each partition."""
        for number, (each, part) in enumerate(self._parts):
            await part.announce(each, worker, partial(on_cancelled, partition=number))

    async def withdraw(self, queue: str) -> None:
        """As in ``QueueConnections``."""
        for each, part in self._parts:
            await part.withdraw(each)

    def _letter_names(self, dead_letter_queue: str | None) -> Sequence[str | None]:
        if dead_letter_queue is None:
            return [None] * len(self._parts)
        return partition_names(dead_letter_queue, len(self._parts), self._queue)
