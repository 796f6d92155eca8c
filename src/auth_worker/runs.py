"""The runs of one queue: a fetched job becomes a run, its outcome goes to the settlement, its end is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from auth_worker.broker.replies import Fetched
from auth_worker.config import Settings, WorkerConfig
from auth_worker.dead_letter import Letter
from auth_worker.error_text import error_text
from auth_worker.errors import InvalidPayloadError
from auth_worker.events import (
    EventBus,
    JobCompleted,
    JobFailed,
    JobMoved,
    JobRetried,
    JobStarted,
    LeaseLost,
    Problem,
)
from auth_worker.executors import Executor
from auth_worker.job import Job, JobActions
from auth_worker.messages import WORKER_ERRORS
from auth_worker.options import JobOptions, OptionsCache
from auth_worker.outcome import (
    AwaitChildren,
    Cause,
    Complete,
    Drop,
    Fail,
    HandBack,
    Lost,
    Outcome,
    Postpone,
    ReasonClass,
    Retry,
    Throttle,
    decide_stalled,
)
from auth_worker.payload import RawJob, is_orphan, read_job, unreadable_job
from auth_worker.quarantine import Quarantine
from auth_worker.report import Tally
from auth_worker.run import Perform, Run, perform

Settle = Callable[[Run, Outcome], None]
Advance = Callable[[Run], Awaitable[None]]


class Runs:
    """The running jobs of ``queue``.

    ``settle`` writes their outcomes, ``advance`` lets a job scheduler go on; both are set before the first job.
    """

    settle: Settle
    advance: Advance

    def __init__(
        self,
        queue: str,
        config: WorkerConfig,
        settings: Settings,
        *,
        executor: Executor,
        quarantine: Quarantine,
        bus: EventBus,
    ) -> None:
        self._queue = queue
        self._config = config
        self._options = OptionsCache(config)
        self._max_payload_bytes = settings.max_payload_bytes
        self._max_result_bytes = settings.max_result_bytes
        self._timeout = config.timeout / 1000 if config.timeout else None
        self._executor = executor
        self._quarantine = quarantine
        self._bus = bus
        self._runs: dict[str, Run] = {}
        self._abandoned: list[Run] = []
        self._ended: list[tuple[Run, Outcome, Letter | None]] = []
        self.actions: JobActions | None = None
        self.perform: Perform = perform
        self.tally = Tally()
        self.paused = self.draining = False
        """Set by the processor. No job that has waited here begins then; in a drain, none that is suspected."""
        self.idle = asyncio.Event()
        """Set while no job runs, none waits to be settled, and every end has been told."""
        self.idle.set()

    def __len__(self) -> int:
        return len(self._runs)

    def held(self) -> list[Run]:
        """Every run whose lease is ours, or was until just now; may be called from any thread."""
        return list(self._runs.values())

    def held_ids(self) -> set[str]:
        """The ids of the jobs that run here, are being settled, or were settled just now."""
        return {run.job.id for run in self.held()}

    def launch(self, token: str, fetched: Fetched, renewed: float) -> None:
        """A job has come: run it, or settle it at once where there is nothing to run."""
        job_id, raw = fetched
        try:
            job, options = read_job(
                raw,
                job_id,
                self._queue,
                self._options.parse,
                max_bytes=self._max_payload_bytes,
                token=token,
                actions=self.actions,
            )
        except InvalidPayloadError as error:
            self._refuse(job_id, raw, token, renewed, str(error))
            return
        run = self._enter(Run(job, options, raw, token, renewed))
        if b"defa" in raw:
            self._condemn(run, decide_stalled(raw[b"defa"].decode(errors="replace")))
        elif job.stalled_count:
            self._quarantine.isolate(run, partial(self._start_suspect, run))
        else:
            self._start(run)

    def cancel(self, cause: Cause, runs: list[Run] | None = None) -> None:
        """Ask ``runs`` (None: all of them) to stop."""
        for run in self.held() if runs is None else runs:
            if self._runs.get(run.token) is run:
                run.cancel(cause)

    def hand_back_all(self) -> None:
        """Return every job whose consumer has not ended to the queue, whatever the consumer does from now on."""
        for run in self.held():
            if not run.ended:
                run.cancel(Cause.SHUTDOWN)
                self._settle_at_once(run, HandBack())
                self._abandoned.append(run)

    @property
    def stuck(self) -> bool:
        """Whether a consumer still runs although its job was handed back: it cannot be stopped."""
        return any(run.task is not None and not run.task.done() for run in self._abandoned)

    def settled(self, run: Run, outcome: Outcome, letter: Letter | None) -> None:
        """The settlement has written a run's outcome: count it and tell, two turns of the loop later.

        In the next one the job that came with the reply runs, and only at its end is the next command written,
        which Redis waits for. At concurrencies of 1 and 10 that is worth a tenth of the jobs per second.
        """
        self._ended.append((run, outcome, letter))
        if len(self._ended) == 1:
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self._tell_all)

    def lost(self, run: Run) -> None:
        """The settlement has written nothing, since the job is not ours any more."""
        self.settled(run, Lost(), None)

    def _tell_all(self) -> None:
        ended, self._ended = self._ended, []
        for run, outcome, letter in ended:
            event = self._count(run, outcome, letter)
            self._leave(run)
            self._bus.emit(event)

    def _count(self, run: Run, outcome: Outcome, letter: Letter | None) -> Any:
        """Count how a run ended; gives the event that tells it."""
        tally, job = self.tally, run.job
        took = run.duration_ms
        match outcome:
            case Complete():
                tally.completed += 1
                tally.total_ms += took
                return JobCompleted(job.queue_name, job.id, job.name, job.attempt, took, run.wait_ms, run.trace_id)
            case Retry(delay_ms, reason, trace):
                tally.retried += 1
                return JobRetried(*_about(run), run.wait_ms, delay_ms, reason, run.trace_id, run.error, trace)
            case Fail(reason, reason_class, trace):
                tally.failed += 1
                tally.total_ms += took
                tally.dead_lettered += letter is not None
                dead_letter_id = letter.id if letter else ""
                return JobFailed(
                    *_about(run), run.wait_ms, reason, reason_class, dead_letter_id, run.trace_id, run.error, trace
                )
            case Lost():
                tally.leases_lost += 1
                return LeaseLost(*_about(run), run.trace_id)
        tally.handed_back += isinstance(outcome, HandBack)
        tally.delayed += isinstance(outcome, Postpone | Throttle)
        return JobMoved(*_about(run), *_destination(outcome), run.trace_id)

    def _refuse(self, job_id: str, raw: RawJob, token: str, renewed: float, reason: str) -> None:
        """End a job that cannot be read."""
        job = unreadable_job(raw, job_id, self._queue)
        run = self._enter(Run(job, JobOptions({}, self._config), raw, token, renewed))
        if is_orphan(raw):
            self._settle_at_once(run, Drop("the job's data is gone from Redis"))
        else:
            self._condemn(run, Fail(reason, ReasonClass.INVALID_PAYLOAD, reason))

    def _enter(self, run: Run) -> Run:
        if not self._runs:
            self.idle.clear()
        self._runs[run.token] = run
        return run

    def _settle_at_once(self, run: Run, outcome: Outcome) -> None:
        run.ended = run.settling = True
        self.settle(run, outcome)

    def _condemn(self, run: Run, verdict: Fail) -> None:
        """End a job that is not to run; if it is an iteration of a job scheduler, that goes on all the same."""
        if b"rjk" not in run.raw:
            self._settle_at_once(run, verdict)
            return
        run.ended = run.settling = True
        run.task = asyncio.get_running_loop().create_task(self._advance_and_settle(run, verdict))

    async def _advance_and_settle(self, run: Run, verdict: Fail) -> None:
        await self._advance(run)
        self.settle(run, verdict)

    def _start(self, run: Run) -> None:
        self._quarantine.entered(run)
        if self._bus.wants(JobStarted):
            job = run.job
            self._bus.emit(JobStarted(job.queue_name, job.id, job.name, job.attempt, run.wait_ms))
        run.task = asyncio.get_running_loop().create_task(self._process(run))

    def _start_suspect(self, run: Run) -> None:
        """The suspect is alone now; it may have waited long, and the processor may be paused meanwhile."""
        if self.paused or self.draining:
            self._settle_at_once(run, HandBack())
        else:
            self._start(run)

    async def _process(self, run: Run) -> None:
        execute = self._executor if b"rjk" not in run.raw else partial(self._iterate, run)
        outcome = await self.perform(run, execute, timeout=self._timeout, max_result_bytes=self._max_result_bytes)
        run.task = None  # its context names the run: a circle, which only the cycle collector would free
        if not run.settling:
            run.settling = True
            self.settle(run, outcome)

    async def _iterate(self, run: Run, job: Job) -> Any:
        """An iteration of a job scheduler begins once the next one is there, unless we pause by then."""
        try:
            await self._advance(run)
        except asyncio.CancelledError:
            if run.cause is Cause.TIMEOUT:  # it is the consumer's, which has not begun
                run.cause = Cause.SHUTDOWN
            raise
        if time.monotonic() >= run.renewed + self._config.lock_duration / 1000:
            run.cancel(Cause.LEASE_LOST)
        elif self.paused:
            run.cancel(Cause.SHUTDOWN)
        await asyncio.sleep(0)  # where a cancellation arrives
        run.started = time.perf_counter()
        return await self._executor(job)

    async def _advance(self, run: Run) -> None:
        """The job is an iteration of a job scheduler: create the next one, whatever becomes of this one."""
        try:
            await self.advance(run)
        except Exception as error:
            detail = f"job {run.job.id}: {type(error).__name__}: {error_text(error)}"
            self._bus.emit(Problem(WORKER_ERRORS.SCHEDULE_FAILED, self._queue, detail))

    def _leave(self, run: Run) -> None:
        run.error = None  # its traceback names the run: a circle, and holds what the consumer had in hand
        if self._runs.get(run.token) is run:
            del self._runs[run.token]
        if not self._runs:
            self.idle.set()
        self._quarantine.left(run)


def _about(run: Run) -> tuple[str, str, str, int, float]:
    job = run.job
    return job.queue_name, job.id, job.name, job.attempt, run.duration_ms


def _destination(outcome: Outcome) -> tuple[str, str]:
    match outcome:
        case Postpone(delay_ms):
            return "delayed", f"for {delay_ms} ms"
        case Throttle(duration_ms):
            return "rate-limited", f"queue rests {duration_ms} ms"
        case AwaitChildren():
            return "waiting-children", ""
        case Drop(reason):
            return "dropped", reason
    return "waiting", "handed back"
