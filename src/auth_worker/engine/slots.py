"""The slots of one queue's worker: how many jobs it may hold at a time.

A slot is a token, with which its job is locked: it is free, fetches, or has a run. A run that waits for long lends
its slot to another job.
"""

from __future__ import annotations

from auth_worker.core.ports.worker import WorkerBroker


class Slots:
    """The slots of one queue's worker, ``concurrency`` of them. Their tokens start with ``worker_id``."""

    def __init__(self, broker: WorkerBroker, worker_id: str, concurrency: int) -> None:
        self._broker = broker
        self._worker_id = worker_id
        self._issued = 0
        self._surplus = 0
        """How many more slots than ``concurrency`` are in use. As many of those that become free are given up."""
        self.free = [self._new_token() for _ in range(concurrency)]
        """The tokens of the free slots."""

    def release(self, token: str) -> bool:
        """Free a slot, unless there are too many. Returns whether it is free."""
        if self._surplus:
            self._surplus -= 1
            self._broker.forget(token)
            return False
        self.free.append(token)
        return True

    def replaced(self, token: str) -> str:
        """Return a new token for the slot of ``token``, which may still lock a job or be in use by a settle."""
        self._broker.forget(token)
        return self._new_token()

    def lend(self) -> None:
        """Free the slot of a run that waits, which keeps its token."""
        self.free.append(self._new_token())

    def reclaim(self, *, owed: bool = False) -> bool:
        """Take a free slot for a run that has lent its own. Returns whether it has one.

        ``owed``: if none is free, the next one that becomes free is taken.
        """
        if self.free:
            self._broker.forget(self.free.pop())
            return True
        self._surplus += owed
        return owed

    def exceed(self) -> None:
        """Count a run that has come although its slot was given away."""
        self._surplus += 1

    def _new_token(self) -> str:
        self._issued += 1
        return f"{self._worker_id}:{self._issued}"
