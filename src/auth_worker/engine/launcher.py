"""Launches fetched jobs: makes a run of each, and passes its outcome to the settlement."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

from auth_worker.config import Settings, WorkerConfig
from auth_worker.core.decisions import decide_abandoned, decide_deferred_failure, decide_unreadable, why_not_begin
from auth_worker.core.error_text import error_text
from auth_worker.core.outcome import Cause, Drop, Outcome
from auth_worker.core.ports.worker import Taken, Unreadable, WorkerBroker
from auth_worker.core.run import Perform, Phase, Run
from auth_worker.engine.executors import Executor
from auth_worker.engine.prefetch import Prefetch
from auth_worker.engine.quarantine import Quarantine
from auth_worker.engine.registry import Registry
from auth_worker.engine.settlement import Settlement
from auth_worker.engine.waiting_runs import WaitingRuns
from auth_worker.errors import BrokerError
from auth_worker.events import EventBus, JobStarted, Problem
from auth_worker.job import Job
from auth_worker.messages import WORKER_ERRORS


class Launcher:
    """Starts and cancels the runs of ``queue``. Belongs to the work loop."""

    def __init__(
        self,
        broker: WorkerBroker,
        registry: Registry,
        settlement: Settlement,
        waiting: WaitingRuns,
        prefetch: Prefetch | None,
        quarantine: Quarantine,
        bus: EventBus,
        *,
        queue: str,
        config: WorkerConfig,
        settings: Settings,
        executor: Executor,
        perform: Perform,
    ) -> None:
        self._broker = broker
        self._registry = registry
        self._settle = settlement.settle
        self._waiting = waiting
        self._prefetch = prefetch
        self._quarantine = quarantine
        self._bus = bus
        self._queue = queue
        self._lease_s = config.lock_duration / 1000
        self._timeout = config.timeout / 1000 if config.timeout else None
        self._max_result_bytes = settings.max_result_bytes
        self._executor = executor
        self._perform = perform
        self._marked: set[Run] = set()
        """The runs that are marked as waiting in the broker. The mark is removed before they begin."""
        self.paused = False
        """Whether no job may start now, since the queue is paused in this process."""

    def launch(self, token: str, taken: Taken, renewed: float) -> None:
        """Run a fetched job, make it wait, or settle it at once if it must not run."""
        run = Run(taken.job, taken.policy, taken.stored, token, renewed, taken.wait_ms, taken.scheduler_id)
        self._registry.enter(run)
        if isinstance(taken, Unreadable):
            self._end_unstarted(run, decide_unreadable(taken.reason, is_orphan=taken.is_orphan))
        elif (deferred_failure := taken.deferred_failure) is not None:
            self._end_unstarted(run, decide_deferred_failure(deferred_failure))
        elif run.job.stalled_count and self._waiting.is_suspect(run):
            self._waiting.hold_suspect(run, self._start)
            self._mark_waiting(run)
        else:
            self._start_or_keep(run)

    def cancel(self, cause: Cause, runs: list[Run] | None = None, reason: str = "") -> None:
        """Cancel ``runs`` (None: all of them)."""
        for run in self._registry.held() if runs is None else runs:
            if run in self._registry:
                run.cancel(cause, reason)
                self._waiting.withdraw(run, cause)
                if run.task is None:
                    self._marked.discard(run)

    def hand_back_waiting(self) -> None:
        """Return the jobs that wait here to the queue."""
        self.cancel(Cause.SHUTDOWN, self._waiting.all())

    def hand_back_all(self) -> None:
        """Return every job whose consumer has not ended to the queue.

        What those consumers do then no longer counts.
        """
        self.hand_back_waiting()
        for run in self._registry.held():
            if run.phase in (Phase.FETCHED, Phase.RUNNING):
                outcome = decide_abandoned(run)
                run.cancel(Cause.SHUTDOWN)
                run.phase = Phase.SETTLING
                self._registry.abandon(run)
                self._settle(run, outcome)

    def _end_unstarted(self, run: Run, outcome: Outcome) -> None:
        """Settle a job that must not run. If it is an iteration of a job scheduler, the scheduler goes on."""
        run.phase = Phase.SETTLING
        if not run.scheduler_id or isinstance(outcome, Drop):
            self._settle(run, outcome)
        else:
            run.task = asyncio.get_running_loop().create_task(self._advance_and_settle(run, outcome))

    async def _advance_and_settle(self, run: Run, outcome: Outcome) -> None:
        await self._advance(run)
        self._settle(run, outcome)

    def _start_or_keep(self, run: Run) -> None:
        if self._quarantine.closed:
            self._waiting.keep_until_open(run, self._start_or_keep)
            self._mark_waiting(run)
        elif self._prefetch is None or self._prefetch.take_place(run):
            self._start(run)

    def _start(self, run: Run) -> None:
        self._quarantine.entered(run)
        if run.job.stalled_count:
            self._waiting.mark_recovered(run)
        if self._bus.wants(JobStarted):
            job = run.job
            self._bus.emit(JobStarted(job.queue_name, job.id, job.name, job.attempt, run.wait_ms))
        run.task = asyncio.get_running_loop().create_task(self._process(run))

    async def _process(self, run: Run) -> None:
        if self._marked and run in self._marked:
            await self._mark_begun(run)
        if time.monotonic() >= run.renewed + self._lease_s:  # it was frozen: another worker may have the job
            run.cancel(Cause.LEASE_LOST)
        execute = partial(self._iterate, run) if run.scheduler_id else self._executor
        outcome = await self._perform(run, execute, timeout=self._timeout, max_result_bytes=self._max_result_bytes)
        run.task = None  # its context refers to the run: a cycle, which only the garbage collector would free
        if self._prefetch is not None and (following := self._prefetch.leave_place(run, outcome)) is not None:
            self._start_or_keep(following)
            await asyncio.sleep(0)  # its process gets it before this one is settled
        if run.phase is not Phase.SETTLING:
            run.phase = Phase.SETTLING
            self._settle(run, outcome)

    def _mark_waiting(self, run: Run) -> None:
        """Mark a run that waits because of a suspect, so that it is charged no stall meanwhile."""
        self._marked.add(run)
        if run.task is None:
            self._broker.mark_waiting(run.job)

    async def _mark_begun(self, run: Run) -> None:
        """Remove the mark, since from now on the job may kill this process. If that fails, hand the job back."""
        self._marked.discard(run)
        try:
            await self._broker.mark_begun(run.job)
        except BrokerError:
            run.cancel(Cause.SHUTDOWN)

    async def _iterate(self, run: Run, job: Job) -> Any:
        """Start an iteration of a job scheduler once the next one exists, unless the queue is paused by then."""
        try:
            await self._advance(run)
        except asyncio.CancelledError:
            run.cause = why_not_begin(run.cause, lease_holds=True, paused=False)
            raise
        lease_holds = time.monotonic() < run.renewed + self._lease_s
        if cause := why_not_begin(None, lease_holds=lease_holds, paused=self.paused):
            run.cancel(cause)
        await asyncio.sleep(0)  # where a cancellation arrives
        run.started = time.perf_counter()
        return await self._executor(job)

    async def _advance(self, run: Run) -> None:
        """Create the next iteration of the job's scheduler. This one goes on if that fails."""
        try:
            await self._broker.advance_scheduler(run)
        except Exception as error:
            detail = f"job {run.job.id}: {type(error).__name__}: {error_text(error)}"
            self._bus.emit(Problem(WORKER_ERRORS.SCHEDULE_FAILED, self._queue, detail))
