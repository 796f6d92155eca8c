"""QueueProcessorService: works one queue. Jobs come from the intake, run, and go through the settlement.

::

    intake --launch--> run.perform --outcome--> settlement --> Redis
       ^                                            |
       +--------- the next job, or a free slot -----+
"""

from __future__ import annotations

import asyncio
import contextvars
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from auth_worker.broker.actions import QueueActions
from auth_worker.broker.letters import LetterBox
from auth_worker.broker.store import Fetched, Store
from auth_worker.config import WORKER_CONFIG, Settings, WorkerConfig
from auth_worker.dead_letter import Letter
from auth_worker.errors import ConfigurationError, InvalidPayloadError
from auth_worker.events import (
    JobCompleted,
    JobFailed,
    JobMoved,
    JobRetried,
    JobStarted,
    LeaseLost,
    ProcessorChanged,
)
from auth_worker.executors import Execution, executor_for
from auth_worker.intake import Intake
from auth_worker.job import Job
from auth_worker.lease import Tenancy
from auth_worker.maintenance import StalledCheck
from auth_worker.names import check_queue_name
from auth_worker.options import JobOptions
from auth_worker.outcome import (
    AwaitChildren,
    Cause,
    Complete,
    Drop,
    Fail,
    HandBack,
    Outcome,
    Postpone,
    ReasonClass,
    Retry,
    Throttle,
    decide_stalled,
)
from auth_worker.payload import attempts_made, is_orphan, read_job, waited_ms
from auth_worker.report import Metrics, ProcessorHealth, Tally
from auth_worker.run import Run, perform
from auth_worker.runtime import Runtime
from auth_worker.settlement import Settlement

CANCEL_GRACE = 1.0
"""How long (s) a cancelled consumer has to end before its job is handed back without it."""


class QueueProcessorService:
    """The processor of one queue; part of a ``WorkerService``, or on its own with a ``connection``.

    Raises ``ConfigurationError`` naming the argument that is wrong. Nothing is connected before ``initialize``.
    """

    def __init__(
        self,
        *,
        queue_name: str,
        processor: Callable[[Job], Any],
        connection: Any = None,
        logger: Any = None,
        worker_config: WorkerConfig | Mapping[str, Any] = WORKER_CONFIG,
        dead_letter_queue_name: str | None = None,
        execution: Execution = "auto",
        settings: Settings | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        self.queue_name = check_queue_name("queue_name", queue_name)
        self.dead_letter_queue_name = dead_letter_queue_name
        if dead_letter_queue_name is not None:
            check_queue_name("dead_letter_queue_name", dead_letter_queue_name)
            if dead_letter_queue_name == queue_name:
                raise ConfigurationError("dead_letter_queue_name must differ from queue_name")
        self.config = WorkerConfig.of(worker_config)
        self._executor = executor_for(processor, execution, self.config.concurrency)
        self._owns_runtime = runtime is None
        self.runtime = runtime or Runtime(connection, settings)
        self._logger = logger
        self._tally = Tally()
        self._runs: dict[str, Run] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self._running = False
        self._paused = False
        self._tenancy: Tenancy | None = None
        self._stop_checks: Callable[[], None] | None = None
        self.worker_name = self.config.name or self.runtime.worker_name
        self._timeout = self.config.timeout / 1000 if self.config.timeout else None

    @property
    def is_running(self) -> bool:
        """Between ``initialize`` and ``close``."""
        return self._running

    @property
    def is_paused(self) -> bool:
        """Whether it takes no jobs for now."""
        return self._paused

    @property
    def active(self) -> int:
        """How many jobs are running."""
        return len(self._runs)

    async def initialize(self) -> None:
        """Connect and start processing.

        Raises ``BrokerError`` when Redis cannot be reached, ``ConfigurationError`` when called twice.
        """
        if self._running:
            raise ConfigurationError(f"the processor of {self.queue_name} is initialized already")
        runtime = self.runtime
        if self._owns_runtime:
            if self._logger is not None:
                from auth_worker.observers.logs import LogObserver

                LogObserver(self._logger).attach(runtime.bus)
            await runtime.start()
        prefix = runtime.settings.prefix
        letters = LetterBox(prefix, self.dead_letter_queue_name) if self.dead_letter_queue_name else None
        self._store = Store(
            runtime.commands,
            prefix=prefix,
            queue=self.queue_name,
            config=self.config,
            name=self.worker_name,
            letters=letters,
        )
        self._actions = QueueActions(runtime.commands, prefix, self.queue_name, self.config)
        self._intake = Intake(
            self._store,
            runtime.doorbell,
            runtime.quarantine,
            runtime.bus,
            queue=self.queue_name,
            worker_id=str(uuid.uuid4()),
            concurrency=self.config.concurrency,
            launch=self._launch,
        )
        self._settlement = Settlement(
            self._store,
            self._intake,
            runtime.bus,
            self,
            worker=self.worker_name,
            lease_s=self.config.lock_duration / 1000,
        )
        await runtime.presence.announce(self.queue_name, self.worker_name, runtime.settings.startup_timeout)
        self._watch_over()
        self._running = True
        runtime.bus.emit(ProcessorChanged(self.queue_name, "ready"))
        if not self._paused:
            self._intake.open()

    async def pause(self) -> None:
        """Take no more jobs; returns once none can start any more. Running jobs go on."""
        self._paused = True
        if self._running:
            await self._intake.close()
        self.runtime.bus.emit(ProcessorChanged(self.queue_name, "paused"))

    async def resume(self) -> None:
        """Take jobs again."""
        self._paused = False
        if self._running:
            self._intake.open()
        self.runtime.bus.emit(ProcessorChanged(self.queue_name, "resumed"))

    async def close(self, timeout: float | None = None, *, hurry: asyncio.Event | None = None) -> bool:
        """Take no more jobs, wait for those that run, and disconnect.

        After ``timeout`` s (None: the settings' shutdown_timeout), or once ``hurry`` is set, what still runs is
        cancelled and handed back. Returns whether every job ended by itself.
        """
        if not self._running:
            return True
        limit = self.runtime.settings.shutdown_timeout if timeout is None else timeout
        clean = await self._drain(limit, hurry or asyncio.Event())
        self._running = False
        if self._tenancy is not None:
            self.runtime.leases.remove(self._tenancy)
        if self._stop_checks is not None:
            self._stop_checks()
        await self._settlement.stop()
        await self._intake.stop()
        self._executor.close()
        await self.runtime.presence.withdraw(self.queue_name)
        self.runtime.bus.emit(ProcessorChanged(self.queue_name, "closed"))
        if self._owns_runtime:
            await self.runtime.stop()
        return clean

    async def _drain(self, timeout: float, hurry: asyncio.Event) -> bool:
        """Wait ``timeout`` s for the running jobs, then hand them back. Bounded also while Redis is away."""
        self.runtime.bus.emit(ProcessorChanged(self.queue_name, "draining"))
        handed_back = self._tally.handed_back
        quiet = asyncio.gather(self._intake.close(), self._idle.wait())
        await _either(timeout, quiet, hurry.wait())
        if self._runs:
            for run in list(self._runs.values()):
                run.cancel(Cause.SHUTDOWN)
            await _either(CANCEL_GRACE, self._idle.wait())
        for run in list(self._runs.values()):
            if not run.ended:
                run.ended = True
                self._settlement.settle(run, HandBack())
        await _either(CANCEL_GRACE, self._idle.wait())
        return not self._runs and self._tally.handed_back == handed_back

    def get_metrics(self) -> Metrics:
        """What was done since the start."""
        return self._tally.metrics(len(self._runs))

    async def get_health(self) -> ProcessorHealth:
        """Whether it works, and if not why."""
        reasons = []
        if not self._running:
            reasons.append("not running")
        elif not self.runtime.commands.is_up:
            reasons.append(f"no connection to Redis for {self.runtime.commands.down_s:.0f} s")
        return ProcessorHealth(
            healthy=not reasons,
            queue_name=self.queue_name,
            is_running=self._running,
            is_paused=self._paused,
            metrics=self.get_metrics(),
            reasons=reasons,
        )

    def _watch_over(self) -> None:
        """Have the watch loop care for the leases and the stalled jobs, and the links tell of themselves."""
        runtime = self.runtime
        loop = asyncio.get_running_loop()

        def on_lost(runs: list[Run]) -> None:
            loop.call_soon_threadsafe(self._lose, runs)

        self._tenancy = Tenancy(
            self.queue_name, self.config.lock_duration, lambda: list(self._runs.values()), on_lost
        )
        runtime.leases.add(self._tenancy)
        runtime.add_runs(self._runs.values)
        runtime.on_broker_up(self._intake.recover)
        runtime.quarantine.subscribe(self._intake.look)
        check = StalledCheck(
            runtime.watch_link, runtime.settings.prefix, self.queue_name, self.config, runtime.bus
        )
        self._stop_checks = runtime.watch.keep(check.run())

    def _lose(self, runs: list[Run]) -> None:
        for run in runs:
            if self._runs.get(run.token) is run:
                run.cancel(Cause.LEASE_LOST)

    def _launch(self, token: str, fetched: Fetched, renewed: float) -> None:
        """A job has come: run it, or settle it at once where there is nothing to run."""
        job_id, raw = fetched
        verdict: Outcome | None = None
        try:
            job, options = read_job(
                raw,
                job_id,
                self.queue_name,
                self.config,
                max_bytes=self.runtime.settings.max_payload_bytes,
                token=token,
                actions=self._actions,
            )
        except InvalidPayloadError as error:
            job = Job(
                id=job_id,
                name=raw.get(b"name", b"").decode(errors="replace"),
                data=None,
                opts={},
                queue_name=self.queue_name,
                attempt=attempts_made(raw) + 1,
            )
            options = JobOptions({}, self.config)
            verdict = Fail(str(error), ReasonClass.INVALID_PAYLOAD, str(error))
            if is_orphan(raw):
                verdict = Drop("the job's data is gone from Redis")
        else:
            if b"defa" in raw:
                verdict = decide_stalled(raw[b"defa"].decode(errors="replace"))
        run = Run(job, options, raw, token, renewed, waited_ms(raw))
        self._runs[token] = run
        self._idle.clear()
        if verdict is not None:
            self.runtime.quarantine.entered()
            run.ended = True
            self._settlement.settle(run, verdict)
        elif job.stalled_count:
            self.runtime.quarantine.isolate(run, partial(self._start, run))
        else:
            self._start(run)

    def _start(self, run: Run) -> None:
        self.runtime.quarantine.entered()
        bus = self.runtime.bus
        if bus.wants(JobStarted):
            job = run.job
            bus.emit(JobStarted(job.queue_name, job.id, job.name, job.attempt, run.wait_ms))
        run.task = asyncio.get_running_loop().create_task(
            self._process(run), context=contextvars.copy_context()
        )

    async def _process(self, run: Run) -> None:
        outcome = await perform(
            run,
            self._executor,
            timeout=self._timeout,
            max_result_bytes=self.runtime.settings.max_result_bytes,
        )
        if self._runs.get(run.token) is run:
            self._settlement.settle(run, outcome)

    def settled(self, run: Run, outcome: Outcome, letter: Letter | None) -> None:
        """The settlement has written a run's outcome: count it and tell."""
        tally, job = self._tally, run.job
        took = run.duration_ms
        match outcome:
            case Complete():
                tally.completed += 1
                tally.total_ms += took
                event: Any = JobCompleted(job.queue_name, job.id, job.name, job.attempt, took, run.wait_ms)
            case Retry(delay_ms, reason):
                tally.retried += 1
                event = JobRetried(
                    job.queue_name, job.id, job.name, job.attempt, took, run.wait_ms, delay_ms, reason
                )
            case Fail(reason, reason_class):
                tally.failed += 1
                tally.total_ms += took
                tally.dead_lettered += letter is not None
                event = JobFailed(
                    job.queue_name,
                    job.id,
                    job.name,
                    job.attempt,
                    took,
                    run.wait_ms,
                    reason,
                    reason_class,
                    letter.id if letter else "",
                )
            case _:
                tally.handed_back += isinstance(outcome, HandBack)
                tally.delayed += isinstance(outcome, Postpone | Throttle)
                event = JobMoved(job.queue_name, job.id, job.name, job.attempt, took, *_destination(outcome))
        self._left(run)
        self.runtime.bus.emit(event)

    def lost(self, run: Run) -> None:
        """The settlement has written nothing, since the job is not ours any more."""
        self._tally.leases_lost += 1
        self._left(run)
        job = run.job
        self.runtime.bus.emit(LeaseLost(job.queue_name, job.id, job.name, job.attempt, run.duration_ms))

    def _left(self, run: Run) -> None:
        if self._runs.get(run.token) is run:
            del self._runs[run.token]
        if not self._runs:
            self._idle.set()
        quarantine = self.runtime.quarantine
        quarantine.left()
        if quarantine.suspect is not None:
            quarantine.release(run)


def _destination(outcome: Outcome) -> tuple[str, str]:
    match outcome:
        case Postpone(delay_ms):
            return "delayed", f"for {delay_ms} ms"
        case Throttle(duration_ms):
            return "waiting", f"queue rests {duration_ms} ms"
        case AwaitChildren():
            return "waiting-children", ""
        case Drop(reason):
            return "dropped", reason
    return "waiting", "handed back"


async def _either(timeout: float, *awaitables: Any) -> None:
    """Wait for one of them, but not longer than ``timeout`` s."""
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    try:
        await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
