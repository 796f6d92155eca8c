"""Runs a plain ``def`` consumer in worker processes, which are killed with their run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

from auth_worker.core.error_text import error_text
from auth_worker.core.run import Run, current_run
from auth_worker.core.terminal_text import visible_lines
from auth_worker.engine.executors.process_setup import check_importable, setup_for
from auth_worker.engine.executors.worker_process import WorkerProcess
from auth_worker.errors import WorkerCrashedError
from auth_worker.job import Job
from auth_worker.system.standard_streams import fill_standard_descriptors, standard_error

MAX_JOBS_PER_PROCESS = 100_000
"""After this many jobs a worker process is replaced, whether or not it leaks."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
"""How long (s) to wait before a start that failed is tried again; twice as long after each further failure."""


class ProcessExecutor:
    """A plain ``def`` consumer of a module, in at most ``concurrency`` processes of its own.

    What a job requests of its queue (``job.sync.log``, ``update_progress`` and so on) is done by the service. The
    processes log as ``configure_logging`` has set it up in this one. A process is killed together with the
    programs it has started. It is replaced after a job that has closed or redirected its standard streams, when
    it leaks memory, files or threads, and when a resource of it has ended.

    A job's timeout counts from when its process is ready, so that importing the consumer may take longer. If no
    process can be started although one could before, as when the system has no memory left, jobs wait for one:
    they have not begun, and a failed attempt would end those of a whole queue.

    Raises ``ConfigurationError`` on Windows, and for a consumer that no process can import.
    """

    isolates = True

    def __init__(self, consumer: Callable[[Job], Any], concurrency: int) -> None:
        check_importable(consumer)
        fill_standard_descriptors()
        self._consumer = consumer
        self._concurrency = concurrency
        self._slots = asyncio.Semaphore(concurrency)
        self._idle: list[WorkerProcess] = []
        self._busy: set[WorkerProcess] = set()
        self._waiting: deque[asyncio.Future[WorkerProcess]] = deque()
        """The jobs without a process, in order. A process that starts or becomes free takes the first of them."""
        self._starting: set[asyncio.Task[None]] = set()
        self._setup: bytes | None = None
        self._max_result_bytes = sys.maxsize
        self.report: Callable[[str, str], None] = lambda name, why: None
        """Called for a resource of a process that has ended by itself, with its name and why, after a job."""
        self._report_failed_start: Callable[[str], None] = lambda why: None
        self._was_started = False
        """Whether a process has ever become ready: the consumer can be imported."""
        self._failed_starts = 0
        """How many starts have failed since one succeeded."""
        self._closed = False

    def warm_up(self) -> None:
        """Begin to start one process for each core, in the background, or ``concurrency`` if that is less."""
        for _ in range(min(self._concurrency, os.cpu_count() or 1)):
            self._start_in_background()

    def limit_results(self, max_bytes: int) -> None:
        """As in ``StartsSlowly``."""
        self._max_result_bytes = max_bytes

    def report_failed_starts_to(self, report: Callable[[str], None]) -> None:
        """As in ``StartsSlowly``."""
        self._report_failed_start = report

    async def start(self) -> None:
        """Wait for the first process, which shows whether the consumer can be imported.

        Raises ``ConfigurationError`` if it cannot.
        """
        try:
            self._put_back(await self._free_process())
        except WorkerCrashedError as error:
            cause = error.__cause__ or error
            standard_error().write(visible_lines(str(cause.__cause__ or "")))  # the traceback of the import
            raise cause from None

    async def __call__(self, job: Job) -> Any:
        """Run the function in a process; a cancelled run kills it.

        Raises ``WorkerCrashedError`` when the process died under the job.
        """
        async with self._slots:
            worker = await self._free_process()
            self._busy.add(worker)
            try:
                return await worker.run(job)
            except (asyncio.CancelledError, WorkerCrashedError):
                worker.discard()
                raise
            finally:
                self._busy.discard(worker)
                self._put_back(worker)
                for name, why in worker.ended_resources:
                    self.report(name, why)

    async def retire(self) -> None:
        """Let the idle processes end by themselves, within a few seconds, and start no other."""
        self._closed = True
        self._stop_starting()
        leaving, self._idle = self._idle, []
        await asyncio.gather(*(worker.retire_and_wait() for worker in leaving))

    def close(self) -> None:
        """Kill the processes."""
        self._closed = True
        self._stop_starting()
        for worker in self._busy:
            worker.kill()
        while self._idle:
            self._idle.pop().discard()

    async def _free_process(self) -> WorkerProcess:
        while self._idle:
            worker = self._idle.pop()
            if worker.is_alive:
                return worker
            worker.discard()
        waiter: asyncio.Future[WorkerProcess] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._start_where_needed()
        run = current_run.get()
        try:
            with run.getting_ready() if isinstance(run, Run) else contextlib.nullcontext():
                return await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled() and waiter.exception() is None:
                self._put_back(waiter.result())
            raise
        finally:
            with contextlib.suppress(ValueError):
                self._waiting.remove(waiter)

    def _start_where_needed(self) -> None:
        """Start a process for each waiting job, unless one is starting already."""
        while len(self._starting) < len(self._waiting) and not self._closed:
            self._start_in_background()

    def _start_in_background(self) -> None:
        starting = asyncio.create_task(self._start_another())
        self._starting.add(starting)
        starting.add_done_callback(self._starting.discard)

    async def _start_another(self) -> None:
        while True:
            try:
                worker = await self._new_process()
            except Exception as error:
                if not self._was_started:
                    self._refuse_next_waiter(error)
                    return
                await self._pause_after(error)
                if not self._waiting:
                    return
            else:
                self._was_started, self._failed_starts = True, 0
                self._put_back(worker)
                return

    def _refuse_next_waiter(self, error: Exception) -> None:
        crashed = WorkerCrashedError(f"no process for the job: {error_text(error)}")
        crashed.__cause__ = error
        if (waiter := self._next_waiter()) is not None:
            waiter.set_exception(crashed)

    async def _pause_after(self, error: Exception) -> None:
        pause = min(FIRST_PAUSE_S * 2.0 ** min(self._failed_starts, 10), LONGEST_PAUSE_S)
        self._failed_starts += 1
        self._report_failed_start(f"{error_text(error)} (tried again in {pause:g} s)")
        await asyncio.sleep(pause)

    def _next_waiter(self) -> asyncio.Future[WorkerProcess] | None:
        while self._waiting:
            if not (waiter := self._waiting.popleft()).done():
                return waiter
        return None

    def _stop_starting(self) -> None:
        for starting in self._starting:
            if not starting.get_loop().is_closed():
                starting.cancel()
        while (waiter := self._next_waiter()) is not None:
            waiter.set_exception(WorkerCrashedError("no process for the job: the service is stopping"))

    async def _new_process(self) -> WorkerProcess:
        self._setup = self._setup or setup_for(self._consumer, self._max_result_bytes)
        return await WorkerProcess.start(self._setup)

    def _put_back(self, worker: WorkerProcess) -> None:
        if worker.is_discarded:
            pass
        elif self._closed or (self._waiting and not worker.is_alive):  # of an idle one it is seen when it is taken
            worker.discard()
        elif worker.is_spent or worker.jobs >= MAX_JOBS_PER_PROCESS:
            worker.retire()
        elif (waiter := self._next_waiter()) is not None:
            waiter.set_result(worker)
        else:
            self._idle.append(worker)
        self._start_where_needed()
