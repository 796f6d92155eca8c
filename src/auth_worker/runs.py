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
from auth_worker.events import EventBus, JobStarted, Problem, SuspectChanged
from auth_worker.executors import Executor, ProcessExecutor
from auth_worker.job import Job, JobActions
from auth_worker.ledger import count
from auth_worker.messages import WORKER_ERRORS
from auth_worker.options import JobOptions, OptionsCache
from auth_worker.outcome import Cause, Drop, Fail, HandBack, Lost, Outcome, ReasonClass, decide_stalled
from auth_worker.payload import RawJob, is_orphan, read_job, unreadable_job
from auth_worker.quarantine import Quarantine
from auth_worker.report import Tally
from auth_worker.run import Perform, Run, perform

Settle = Callable[[Run, Outcome], None]
Advance = Callable[[Run], Awaitable[None]]
MOST_LENT = 100
"""How many suspects of a queue may wait without a slot of it."""


class Runs:
    """The running jobs of ``queue``.

    ``settle`` writes their outcomes, ``advance`` lets a job scheduler go on, ``lend`` gives the slot of a waiting
    run to another job, ``reclaim`` takes one back; all are set before the first job.
    """

    settle: Settle
    advance: Advance
    lend: Callable[[], None]
    reclaim: Callable[..., bool]

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
        self._isolated = isinstance(executor, ProcessExecutor)
        self._quarantine = quarantine
        self._waiting: dict[Run, bool] = {}  # not begun yet; whether it has lent its slot
        self._bus = bus
        self._runs: dict[str, Run] = {}
        self._abandoned: list[Run] = []
        self._ended: list[tuple[Run, Outcome, Letter | None]] = []
        self.actions: JobActions | None = None
        self.perform: Perform = perform
        self.tally = Tally()
        self.paused = self.draining = False
        """``paused`` is reset by the processor."""
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

    @property
    def suspects(self) -> int:
        """How many jobs recovered from dead workers wait here until they may run; for any thread."""
        return sum(map(self._is_suspect, list(self._waiting)))

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
        elif self._is_suspect(run):
            self._hold(run)
        elif self._quarantine.closed:
            self._waiting[run] = False
            self._quarantine.keep(run, partial(self._begin, run))
        else:
            self._start(run)

    def cancel(self, cause: Cause, runs: list[Run] | None = None) -> None:
        """Ask ``runs`` (None: all of them) to stop."""
        for run in self.held() if runs is None else runs:
            if self._runs.get(run.token) is run:
                run.cancel(cause)
                if run in self._waiting:
                    self._withdraw(run, Lost() if cause is Cause.LEASE_LOST else HandBack())

    def pause(self) -> None:
        """No job that waits here begins: they go back to the queue."""
        self.paused = True
        self._hand_back_waiting()

    def drain(self) -> None:
        """As ``pause``, for good."""
        self.draining = True
        self._hand_back_waiting()

    def hand_back_all(self) -> None:
        """Return every job whose consumer has not ended to the queue, whatever the consumer does from now on."""
        self._hand_back_waiting()
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
            event = count(self.tally, run, outcome, letter)
            self._leave(run)
            self._bus.emit(event)

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

    def _is_suspect(self, run: Run) -> bool:
        """Whether the job may be what killed its worker; in a process of its own it harms no other."""
        return run.job.stalled_count > 0 and not self._isolated

    def _hold(self, run: Run) -> None:
        """Have a suspect wait until it is alone, and its slot serve others meanwhile."""
        self._waiting[run] = False
        self._quarantine.hold(run, partial(self._begin, run))
        if run not in self._waiting:
            return
        self._report(run, "held")
        if len(self._waiting) <= MOST_LENT:
            self._waiting[run] = True
            self.lend()

    def _begin(self, run: Run) -> bool:
        """Start a run that has waited; False where its queue has no slot free for it."""
        if self._waiting[run] and not self.reclaim():
            return False
        del self._waiting[run]
        if self._is_suspect(run):
            self._report(run, "running")
        self._start(run)
        return True

    def _hand_back_waiting(self) -> None:
        self.cancel(Cause.SHUTDOWN, list(self._waiting))

    def _withdraw(self, run: Run, outcome: Outcome) -> None:
        """Settle a run that has not begun."""
        if self._waiting.pop(run):
            self.reclaim(owed=True)
        self._quarantine.left(run)
        self._settle_at_once(run, outcome)

    def _report(self, run: Run, state: str) -> None:
        job = run.job
        self._bus.emit(SuspectChanged(job.queue_name, job.id, job.name, job.stalled_count, state))

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
