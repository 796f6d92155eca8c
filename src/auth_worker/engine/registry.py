"""Holds the runs of one queue: every job whose lease is ours, until its end has been reported."""

from __future__ import annotations

import asyncio

from auth_worker.core.run import Run
from auth_worker.engine.quarantine import Quarantine


class Registry:
    """The runs of one queue, by token. Belongs to the work loop unless a method says otherwise."""

    def __init__(self, quarantine: Quarantine) -> None:
        self._quarantine = quarantine
        self._runs: dict[str, Run] = {}
        self._abandoned: list[Run] = []
        self.idle = asyncio.Event()
        """Set while no job runs, none waits to be settled, and every end has been reported."""
        self.idle.set()

    def __len__(self) -> int:
        return len(self._runs)

    def __contains__(self, run: Run) -> bool:
        return self._runs.get(run.token) is run

    def held(self) -> list[Run]:
        """Return every run whose end has not been reported. Any thread may call it."""
        return list(self._runs.values())

    def find(self, job_id: str, token: str) -> Run | None:
        """Return the run of this job with ``token``, if it is here."""
        run = self._runs.get(token)
        return run if run is not None and run.job.id == job_id else None

    def held_jobs(self) -> set[tuple[int, str]]:
        """Return partition and id of the jobs that run here, are being settled, or have just been settled."""
        return {(run.job.partition, run.job.id) for run in self.held()}

    @property
    def stuck(self) -> bool:
        """Whether a consumer still runs although its job was handed back. It cannot be stopped."""
        return any(run.task is not None and not run.task.done() for run in self._abandoned)

    def enter(self, run: Run) -> None:
        """Add the run of a fetched job."""
        if not self._runs:
            self.idle.clear()
        self._runs[run.token] = run

    def abandon(self, run: Run) -> None:
        """Give up ``run``, whose job is handed back although its consumer has not ended."""
        self._abandoned.append(run)

    def leave(self, run: Run) -> None:
        """Remove ``run``, whose end has been reported."""
        run.error = None  # its traceback refers to the run, a cycle, and holds the consumer's variables
        if self._runs.get(run.token) is run:
            del self._runs[run.token]
        if not self._runs:
            self.idle.set()
        self._quarantine.left(run)
