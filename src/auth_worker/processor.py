"""QueueProcessorService: processes one queue, on its own or as a part of a service."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from auth_worker.config import WORKER_CONFIG, Settings, WorkerConfig
from auth_worker.core.names import check_queue_name
from auth_worker.core.ports.connections import QueueConnections
from auth_worker.core.report import Metrics, ProcessorHealth
from auth_worker.core.run import Run
from auth_worker.engine.executors import (
    Execution,
    HoldsResources,
    StartsSlowly,
    close_executor,
    executor_for,
    started,
)
from auth_worker.engine.queue_worker import QueueWorker
from auth_worker.errors import ConfigurationError
from auth_worker.events import Problem, ProcessorChanged, ResourceEnded
from auth_worker.job import Job
from auth_worker.messages import WORKER_ERRORS
from auth_worker.observability.log_lines import LogObserver
from auth_worker.observability.logs import open_log
from auth_worker.process.runtime import Runtime
from auth_worker.system.forks import reset_in_child
from auth_worker.system.loops import discard_task, first_of
from auth_worker.system.main_reimport import refuse_reimported_main


class QueueProcessorService:
    """The processor of one queue; part of a ``WorkerService``, or on its own with a ``connection``.

    ``partitions`` is how many the queue has, as in its ``JobQueue``. Nothing is connected before ``initialize``.
    Raises ``ConfigurationError`` naming the argument that is wrong.
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
        partitions: int = 1,
        settings: Settings | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        self.queue_name = check_queue_name("queue_name", queue_name)
        self.config = WorkerConfig.of(worker_config)
        self.dead_letter_queue_name = dead_letter_queue_name
        self.dead_letter_queues = self.config.all_dead_letter_queues(dead_letter_queue_name)
        """All queues that its dead letters go to."""
        for name in self.dead_letter_queues:
            argument = "dead_letter_queue_name" if name == dead_letter_queue_name else "dead_letter_queues"
            if check_queue_name(argument, name) == queue_name:
                raise ConfigurationError(f"{argument} must differ from queue_name")
        self.consumer: object = processor
        """The function that runs its jobs."""
        self.execution: Execution = execution
        self._executor = executor_for(processor, execution, self.config.concurrency)
        self._owns_runtime = runtime is None
        self.runtime = runtime or Runtime(connection, settings)
        if isinstance(self._executor, StartsSlowly):
            self._executor.limit_results(self.runtime.settings.max_result_bytes)
        self.runtime.brokers.serve(queue_name, self.dead_letter_queues, partitions)
        if self._owns_runtime:
            observer = LogObserver(open_log(logger, self.runtime.settings), jobs=self.runtime.settings.log_jobs)
            observer.attach(self.runtime.bus)
            observer.configure_queue(queue_name, self.config)
        self._worker: QueueWorker | None = None
        """Set by ``initialize``, and kept after ``close``."""
        self._running = self._initialized = self._paused = self._is_warm = False
        self._closing: asyncio.Task[bool] | None = None
        self._hurry = asyncio.Event()
        """Set once a second caller of ``close`` does not want to wait any longer."""
        self._stop_watching: list[Callable[[], None]] = []
        reset_in_child(self)

    def after_fork(self) -> None:
        """Forget, in a forked child, what runs in the parent."""
        self._running = False
        discard_task(self._closing)
        self._closing = None

    @property
    def worker_name(self) -> str:
        """The name that jobs and worker lists show."""
        return self.config.name or self.runtime.worker_name

    @property
    def is_running(self) -> bool:
        """Whether it has been initialized and not been closed."""
        return self._running

    @property
    def is_paused(self) -> bool:
        """Whether it is paused."""
        return self._paused

    @property
    def active(self) -> int:
        """How many jobs are running."""
        return 0 if self._worker is None else self._worker.active

    @property
    def slots(self) -> int:
        """How many jobs it runs at a time."""
        return self.config.concurrency

    @property
    def is_draining(self) -> bool:
        """Whether it is being closed."""
        return self._running and self._closing is not None

    @property
    def suspects(self) -> int:
        """How many jobs recovered from dead workers wait here until they may run."""
        return 0 if self._worker is None else self._worker.suspects

    @property
    def overdue_s(self) -> float:
        """How long (s) it has failed to look for jobs; normally 0. Any thread may read it."""
        return self._worker.overdue_s if self._worker is not None and self._running else 0.0

    @property
    def stuck(self) -> bool:
        """Whether a consumer did not end when ``close`` cancelled it. It cannot be stopped."""
        return self._worker is not None and self._worker.stuck

    @property
    def connections(self) -> QueueConnections:
        """The connections it uses, once its service has them."""
        return self.runtime.brokers.connections_of(self.queue_name)

    def held(self) -> list[Run]:
        """Return every run whose end has not been reported. Any thread may call it."""
        return [] if self._worker is None else self._worker.held()

    async def hand_back_now(self) -> None:
        """Hand back what runs, from the watch loop, because the work loop is blocked. Raises ``BrokerError``."""
        if self._worker is not None and self._running:
            await self._worker.hand_back_now()

    def warm_up(self) -> None:
        """Begin to start its processes, if it has any. ``close`` ends them if ``initialize`` does not follow."""
        if isinstance(self._executor, StartsSlowly):
            self._executor.warm_up()
            self._is_warm = True

    async def initialize(self) -> None:
        """Connect and start processing.

        Raises ``BrokerError``; ``ConfigurationError`` when called twice, or if no process can import the consumer.
        """
        if self._initialized:
            raise ConfigurationError(f"the processor of {self.queue_name} is initialized already")
        runtime = self.runtime
        if not self._owns_runtime and not runtime.started:
            raise ConfigurationError(f"the processor of {self.queue_name} is started by its service")
        refuse_reimported_main()
        self._initialized = True
        if isinstance(self._executor, HoldsResources):
            self._executor.report_to(lambda name, why: runtime.bus.emit(ResourceEnded(self.queue_name, name, why)))
        if isinstance(self._executor, StartsSlowly):
            self._executor.report_failed_starts_to(
                lambda why: runtime.bus.emit(Problem(WORKER_ERRORS.PROCESS_NOT_STARTED, self.queue_name, why))
            )
        async with started(self._executor):
            if self._owns_runtime:
                await runtime.start()
            worker = self._worker = self._new_worker()
            await self.connections.announce(self.queue_name, self.worker_name, worker.request_cancellation)
            worker.attach()
            runtime.add_runs(worker.held)
            runtime.heartbeats.add(self)
            self._stop_watching = [
                runtime.watch_loop.keep_going(part, runtime.report) for part in worker.watch_parts
            ]
        self._running = True
        runtime.bus.emit(ProcessorChanged(self.queue_name, "ready"))
        if not self._paused:
            worker.resume()

    async def pause(self) -> None:
        """Take no more jobs. Returns once none can start any more. Running jobs go on."""
        self.runtime.check_loop(f"the processor of {self.queue_name}")
        self._paused = True
        if self._worker is not None:
            self._worker.pause()
            if self._running:
                await self._worker.close()
        if self._paused:  # still
            self.runtime.bus.emit(ProcessorChanged(self.queue_name, "paused"))

    async def resume(self) -> None:
        """Take jobs again, unless it is being closed."""
        self.runtime.check_loop(f"the processor of {self.queue_name}")
        self._paused = False
        if self._worker is not None and self._running:
            self._worker.resume()
        self.runtime.bus.emit(ProcessorChanged(self.queue_name, "resumed"))

    async def close(self, timeout: float | None = None, *, hurry: asyncio.Event | None = None) -> bool:
        """Take no more jobs, wait for running ones, and disconnect.

        After ``timeout`` s (None: the settings' shutdown_timeout), or once ``hurry`` is set, running jobs are
        cancelled and handed back. Returns whether every job ended by itself. Another call waits for the same end,
        and hurries it after its own ``timeout``.
        """
        is_closing = self._closing is not None and not self._closing.done()
        if not self._running and not is_closing:
            if self._is_warm:
                self._executor.close()
            return True
        self.runtime.check_loop(f"the processor of {self.queue_name}")
        limit = self.runtime.settings.shutdown_timeout if timeout is None else timeout
        if self._worker is not None and self._running:
            self._worker.begin_drain()
        events = [] if hurry is None else [hurry]
        if self._closing is None or self._closing.done():
            self._hurry.clear()
            self._closing = asyncio.create_task(self._close(limit, [self._hurry, *events]), name="close")
        else:
            await first_of(limit, asyncio.shield(self._closing), *(event.wait() for event in events))
            self._hurry.set()
        return await asyncio.shield(self._closing)

    async def _close(self, timeout: float, hurry: list[asyncio.Event]) -> bool:
        if self._worker is None:
            return True
        self.runtime.bus.emit(ProcessorChanged(self.queue_name, "draining"))
        clean = await self._worker.drain(timeout, hurry)
        self._running = False
        for stop in self._stop_watching:
            stop()
        await self._worker.stop()
        if (problem := await close_executor(self._executor)) is not None:
            self.runtime.bus.emit(Problem(WORKER_ERRORS.SHUTDOWN_FAILED, self.queue_name, problem))
        self.runtime.heartbeats.remove(self)
        await self.connections.withdraw(self.queue_name)
        self.runtime.bus.emit(ProcessorChanged(self.queue_name, "closed"))
        if self._owns_runtime:
            await self.runtime.stop()
        return clean

    def get_metrics(self) -> Metrics:
        """Return what it has done since the start."""
        return Metrics() if self._worker is None else self._worker.metrics

    async def get_health(self) -> ProcessorHealth:
        """Return whether it works, and if not, why."""
        reasons = []
        if self._worker is None or not self._running:
            reasons.append("not running")
        elif down_s := self._worker.broker.down_s:
            reasons.append(f"no connection to Redis for {down_s:.0f} s")
        return ProcessorHealth(
            healthy=not reasons,
            queue_name=self.queue_name,
            is_running=self._running,
            is_paused=self._paused,
            metrics=self.get_metrics(),
            suspects=self.suspects,
            reasons=reasons,
        )

    def _new_worker(self) -> QueueWorker:
        """Create the worker of the queue on the broker of its service."""
        runtime = self.runtime
        broker = self.connections.worker_broker(
            self.queue_name,
            self.config,
            name=self.worker_name,
            dead_letter_queue=self.dead_letter_queue_name,
        )
        return QueueWorker(
            broker,
            runtime.quarantine,
            runtime.bus,
            queue=self.queue_name,
            config=self.config,
            settings=runtime.settings,
            executor=self._executor,
            perform=runtime.perform,
            dead_letters=bool(self.dead_letter_queues),
        )
