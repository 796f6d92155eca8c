"""QueueProcessorService: works one queue. Jobs come from the intake, run, and go through the settlement.

::

    intake --launch--> run.perform --outcome--> settlement --> Redis
       ^                                            |
       +--------- the next job, or a free slot -----+
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from auth_worker.broker.actions import QueueActions
from auth_worker.broker.letters import LetterBox
from auth_worker.broker.schedulers import Schedulers
from auth_worker.broker.store import Store
from auth_worker.config import WORKER_CONFIG, Settings, WorkerConfig
from auth_worker.connections import Connections
from auth_worker.errors import ConfigurationError
from auth_worker.events import ProcessorChanged
from auth_worker.executors import Execution, executor_for, started
from auth_worker.forks import renew
from auth_worker.intake import Intake
from auth_worker.job import Job
from auth_worker.lease import Tenancy
from auth_worker.logs import open_log
from auth_worker.loops import first_of
from auth_worker.main_reimport import refuse_reimported_main
from auth_worker.maintenance import DeadLetterCare, SchedulerCare, StalledCheck
from auth_worker.names import check_queue_name
from auth_worker.observers.logs import LogObserver
from auth_worker.outcome import Cause
from auth_worker.report import Metrics, ProcessorHealth
from auth_worker.run import Run
from auth_worker.runs import Runs
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
        self.runtime.serve(queue_name, dead_letter_queue_name)
        if self._owns_runtime:
            observer = LogObserver(open_log(logger, self.runtime.settings), jobs=self.runtime.settings.log_jobs)
            observer.attach(self.runtime.bus)
            observer.treat(queue_name, self.config)
        self._runs = Runs(
            queue_name,
            self.config,
            self.runtime.settings,
            executor=self._executor,
            quarantine=self.runtime.quarantine,
            bus=self.runtime.bus,
        )
        self._running = self._initialized = False
        self._tenancy: Tenancy | None = None
        self._stop_watching: list[Callable[[], None]] = []
        renew(self)

    def after_fork(self) -> None:
        """In a forked child: a processor that was started runs in the parent."""
        self._running = False

    @property
    def worker_name(self) -> str:
        """The name that jobs and worker lists show."""
        return self.config.name or self.runtime.worker_name

    @property
    def is_running(self) -> bool:
        """Between ``initialize`` and ``close``."""
        return self._running

    @property
    def is_paused(self) -> bool:
        """Whether it takes no jobs for now."""
        return self._runs.paused

    @property
    def active(self) -> int:
        """How many jobs are running."""
        return len(self._runs)

    @property
    def suspects(self) -> int:
        """How many jobs recovered from dead workers wait here until they may run."""
        return self._runs.suspects

    @property
    def overdue_s(self) -> float:
        """For how long (s) it should have looked for jobs and did not; 0 normally. For any thread."""
        return self._intake.overdue_s if self._running else 0.0

    @property
    def stuck(self) -> bool:
        """Whether a consumer did not end when ``close`` cancelled it; it cannot be stopped then."""
        return self._runs.stuck

    @property
    def connections(self) -> Connections:
        """The connections it works with, once its service has them."""
        return self.runtime.connections_of(self.queue_name)

    async def surrender(self) -> None:
        """Give back what runs, from the watch loop, since the work loop is blocked. Raises ``BrokerError``."""
        if self._running:
            await self._settlement.surrender(self._runs.held(), self.connections.watch_link)

    async def initialize(self) -> None:
        """Connect and start processing.

        Raises ``BrokerError``; ``ConfigurationError`` when called twice, or if no process can import the consumer.
        """
        if self._initialized:
            raise ConfigurationError(f"the processor of {self.queue_name} is initialized already; it is so once")
        runtime = self.runtime
        if not self._owns_runtime and not runtime.started:
            raise ConfigurationError(f"the processor of {self.queue_name} is started by its service")
        refuse_reimported_main()
        self._initialized = True
        async with started(self._executor):
            if self._owns_runtime:
                await runtime.start()
            self._assemble()
            await self.connections.presence.announce(self.queue_name, self.worker_name)
            await self._watch_over()
        self._running = True
        runtime.bus.emit(ProcessorChanged(self.queue_name, "ready"))
        if not self._runs.paused:
            self._intake.open()

    async def pause(self) -> None:
        """Take no more jobs; returns once none can start any more. Running jobs go on."""
        self.runtime.check_loop(f"the processor of {self.queue_name}")
        self._runs.pause()
        if self._running:
            await self._intake.close()
            await asyncio.sleep(0)  # a job that came just before starts before this returns, not after
        if self._runs.paused:  # still
            self.runtime.bus.emit(ProcessorChanged(self.queue_name, "paused"))

    async def resume(self) -> None:
        """Take jobs again, unless it is being closed."""
        self.runtime.check_loop(f"the processor of {self.queue_name}")
        self._runs.paused = False
        if self._running and not self._runs.draining:
            self._intake.open()
        self.runtime.bus.emit(ProcessorChanged(self.queue_name, "resumed"))

    async def close(self, timeout: float | None = None, *, hurry: asyncio.Event | None = None) -> bool:
        """Take no more jobs, wait for those that run, and disconnect.

        After ``timeout`` s (None: the settings' shutdown_timeout), or once ``hurry`` is set, what still runs is
        cancelled and handed back. Returns whether every job ended by itself.
        """
        if not self._running:
            return True
        self.runtime.check_loop(f"the processor of {self.queue_name}")
        limit = self.runtime.settings.shutdown_timeout if timeout is None else timeout
        clean = await self._drain(limit, hurry or asyncio.Event())
        self._running = False
        if self._tenancy is not None:
            await self.runtime.watch.call(self.connections.leases.remove(self._tenancy))
        for stop in self._stop_watching:
            stop()
        await self._settlement.stop()
        await self._intake.stop()
        self._executor.close()
        await self.connections.presence.withdraw(self.queue_name)
        self.runtime.bus.emit(ProcessorChanged(self.queue_name, "closed"))
        if self._owns_runtime:
            await self.runtime.stop()
        return clean

    def get_metrics(self) -> Metrics:
        """What was done since the start."""
        return self._runs.tally.metrics(len(self._runs))

    async def get_health(self) -> ProcessorHealth:
        """Whether it works, and if not why."""
        reasons = []
        if not self._running:
            reasons.append("not running")
        elif not (commands := self.connections.commands).is_up:
            reasons.append(f"no connection to Redis for {commands.down_s:.0f} s")
        return ProcessorHealth(
            healthy=not reasons,
            queue_name=self.queue_name,
            is_running=self._running,
            is_paused=self._runs.paused,
            metrics=self.get_metrics(),
            suspects=self._runs.suspects,
            reasons=reasons,
        )

    def _assemble(self) -> None:
        """Put the parts together, as the drawing above shows them."""
        runtime, prefix, connections = self.runtime, self.runtime.settings.prefix, self.connections
        lease_s = self.config.lock_duration / 1000
        letters = LetterBox(prefix, self.dead_letter_queue_name) if self.dead_letter_queue_name else None
        store = Store(
            connections.commands,
            prefix=prefix,
            queue=self.queue_name,
            config=self.config,
            name=self.worker_name,
            letters=letters,
        )
        self._intake = Intake(
            store,
            connections.doorbell,
            runtime.quarantine,
            runtime.bus,
            queue=self.queue_name,
            worker_id=str(uuid.uuid4()),
            concurrency=self.config.concurrency,
            lease_s=lease_s,
            drain_delay=self.config.drain_delay,
            launch=self._runs.launch,
            held=self._runs.held_ids,
        )
        self._settlement = Settlement(
            store, self._intake, runtime.bus, self._runs, worker=self.worker_name, lease_s=lease_s
        )
        schedulers = Schedulers(connections.commands, prefix, self.queue_name, lease_s=lease_s)
        self._runs.perform = runtime.perform
        self._runs.settle, self._runs.advance = self._settlement.settle, schedulers.advance
        self._runs.lend, self._runs.reclaim = self._intake.lend, self._intake.reclaim
        self._runs.actions = QueueActions(connections.commands, prefix, self.queue_name, self.config, runtime.bus)

    async def _watch_over(self) -> None:
        """Have the watch loop care for the leases and the stalled jobs, and be told what concerns the intake."""
        runtime, connections = self.runtime, self.connections
        loop = asyncio.get_running_loop()

        def on_lost(runs: list[Run]) -> None:
            loop.call_soon_threadsafe(self._runs.cancel, Cause.LEASE_LOST, runs)

        self._tenancy = Tenancy(self.queue_name, self.config.lock_duration, self._runs.held, on_lost)
        await runtime.watch.call(connections.leases.add(self._tenancy))
        runtime.add_runs(self._runs.held)
        connections.on_up(self._intake.recover)
        runtime.quarantine.subscribe(self._intake.look, self.config.lock_duration / 1000)
        link, settings = connections.watch_link, runtime.settings
        check = StalledCheck(link, settings.prefix, self.queue_name, self.config, runtime.bus)
        care = SchedulerCare(link, settings, self.queue_name, runtime.bus)
        self._stop_watching = [runtime.watch.keep_going(part.run, runtime.report) for part in (check, care)]
        letters, worker = self.dead_letter_queue_name, self.worker_name
        if letters is not None:
            upkeep = DeadLetterCare(link, self.queue_name, letters, self.config, settings, runtime.bus, worker)
            self._stop_watching.append(runtime.watch.keep_going(upkeep.run, runtime.report))

    async def _drain(self, timeout: float, hurry: asyncio.Event) -> bool:
        """Wait ``timeout`` s for the running jobs, then hand them back. Bounded also while Redis is away."""
        self._runs.drain()
        self.runtime.bus.emit(ProcessorChanged(self.queue_name, "draining"))
        unfinished = self._runs.tally.unfinished
        quiet = asyncio.gather(self._intake.close(), self._runs.idle.wait())
        await first_of(timeout, quiet, hurry.wait())
        if self._runs:
            self._runs.cancel(Cause.SHUTDOWN)
            await first_of(CANCEL_GRACE, self._runs.idle.wait())
            self._runs.hand_back_all()
            await first_of(CANCEL_GRACE, self._runs.idle.wait())
        return not self._runs and self._runs.tally.unfinished == unfinished
