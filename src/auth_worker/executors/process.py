"""ProcessExecutor: runs a plain ``def`` consumer in worker processes, which are killed with their run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from auth_worker.errors import ConfigurationError, WorkerCrashedError
from auth_worker.executors.launch import check_importable, setup_for
from auth_worker.executors.transport import framed
from auth_worker.executors.worker_process import WorkerProcess
from auth_worker.job import Job
from auth_worker.run import current_run

MAX_JOBS_A_PROCESS = 1000
"""A worker process is replaced after so many jobs, so that what it leaks does not grow for ever."""


class ProcessExecutor:
    """A plain ``def`` consumer of a module, in at most ``concurrency`` processes of its own.

    Its job carries the data, but cannot reach Redis: ``log`` and ``update_progress`` raise. The processes log as
    ``configure_logging`` has set it up in this one. A process is killed together with the programs it has started.
    """

    def __init__(self, consumer: Callable[[Job], Any], concurrency: int) -> None:
        check_importable(consumer)
        self._consumer = consumer
        self._slots = asyncio.Semaphore(concurrency)
        self._idle: list[WorkerProcess] = []
        self._busy: set[WorkerProcess] = set()
        self._setup: bytes | None = None
        self._closed = False

    async def start(self) -> None:
        """Start the first process, which shows whether the consumer can be imported.

        Raises ``ConfigurationError`` where it cannot.
        """
        self._idle.append(await self._new_process())

    async def __call__(self, job: Job) -> Any:
        """Run the function in a process; a cancelled run kills it.

        Raises ``WorkerCrashedError`` when the process died under the job.
        """
        run = current_run.get()
        request = framed((job.detached(), run.trace_id if run is not None else ""))
        async with self._slots:
            worker = await self._free_process()
            self._busy.add(worker)
            try:
                return await worker.run(request)
            except (asyncio.CancelledError, WorkerCrashedError):
                worker.discard()
                raise
            finally:
                self._busy.discard(worker)
                self._put_back(worker)

    def close(self) -> None:
        """Kill the processes."""
        self._closed = True
        for worker in self._busy:
            worker.kill()
        while self._idle:
            self._idle.pop().discard()

    async def _free_process(self) -> WorkerProcess:
        while self._idle:
            worker = self._idle.pop()
            if not worker.has_ended:
                return worker
            worker.discard()
        try:
            return await self._new_process()
        except (ConfigurationError, OSError) as error:  # the first one started: this is no fault of the job
            raise WorkerCrashedError(f"no process for the job: {error}") from error

    async def _new_process(self) -> WorkerProcess:
        self._setup = self._setup or setup_for(self._consumer)
        return await WorkerProcess.start(self._setup)

    def _put_back(self, worker: WorkerProcess) -> None:
        if worker.is_discarded:
            return
        if self._closed:
            worker.discard()
        elif worker.jobs >= MAX_JOBS_A_PROCESS:
            worker.retire()
        else:
            self._idle.append(worker)
