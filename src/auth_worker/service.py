"""WorkerService: starts and stops its parts in order, handles signals, and reports the state of the whole."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Self, TypedDict, TypeVar, Unpack

from auth_worker.config import WORKER_CONFIG, Settings, WorkerConfig
from auth_worker.core.error_text import error_text
from auth_worker.core.exception_groups import deciding_error
from auth_worker.core.lifecycle import BROKER_UNREACHABLE, CLEAN, FAILED_TO_START, HANDED_BACK, ServiceState
from auth_worker.core.names import check_queue_name
from auth_worker.core.report import QueueMetrics, ServiceHealth
from auth_worker.databases import check_database, checker_of
from auth_worker.engine.executors import Execution
from auth_worker.errors import BrokerError, ConfigurationError, ShutdownError
from auth_worker.http.port import open_http_port
from auth_worker.job import Job
from auth_worker.messages import WORKER_ERRORS, WORKER_MESSAGES
from auth_worker.observability.failure_hooks import FailureHook
from auth_worker.observability.log_lines import LogObserver
from auth_worker.observability.logs import open_log
from auth_worker.process.forced_exit import ForcedExit
from auth_worker.process.gc_tuning import tune_gc
from auth_worker.process.runtime import Runtime
from auth_worker.process.signals import StopSignals
from auth_worker.process.startup import initialize, report_failure, report_starting, report_waiting
from auth_worker.processor import QueueProcessorService
from auth_worker.system.forks import reset_in_child
from auth_worker.system.main_reimport import refuse_reimported_main
from auth_worker.tasks.queue import TaskQueue

Consumer = TypeVar("Consumer", bound=Callable[[Job], Any])


class ProcessorOptions(TypedDict, total=False):
    """The options of ``WorkerService.processor``, as in ``register_processor``."""

    worker_config: WorkerConfig | Mapping[str, Any]
    dead_letter_queue_name: str | None
    execution: Execution
    partitions: int


class WorkerService:
    """Runs the processors of a process.

    ``redis_connection``: a URL, a mapping, a redis.asyncio.Redis; None: the settings, else the embedded broker.
    ``database_service``: anything with ``async health_check()`` or ``ping()``. ``init_services``: an async
    callable that runs before any job is fetched. Raises ``ConfigurationError`` naming the wrong argument.
    """

    def __init__(
        self,
        redis_connection: Any = None,
        *,
        logger: Any = None,
        database_service: Any = None,
        init_services: Callable[[], Awaitable[None]] | None = None,
        settings: Settings | None = None,
    ) -> None:
        if database_service is not None and not checker_of(database_service):
            raise ConfigurationError("database_service needs an async health_check() or a ping()")
        if init_services is not None and not callable(init_services):
            raise ConfigurationError("init_services must be an async function without arguments")
        self.runtime = Runtime(redis_connection, settings)
        self.settings = self.runtime.settings
        self.state = ServiceState.NEW
        self.start_error: BaseException | None = None
        """Why ``run`` could not start, if it returned 1 or 4; of a group, the member that decides."""
        self.http_port: int | None = None
        """The port with the probes and metrics, once it is open; None without one."""
        self._opened_log = open_log(logger, self.settings)
        self._log = self._opened_log.logger
        self._observer = LogObserver(self._opened_log, jobs=self.settings.log_jobs)
        self._database = database_service
        self.init_services = init_services
        self._processors: dict[str, QueueProcessorService] = {}
        self._starting: asyncio.Task[Any] | None = None
        self._unwanted = False
        self._stopping: asyncio.Task[bool] | None = None
        forced_exit = ForcedExit(self._processors.values(), self.runtime.watch_loop, self._opened_log, HANDED_BACK)
        self._signals = StopSignals(forced_exit, self._log, self.settings.shutdown_timeout, self._stop_if_running)
        self.runtime.heartbeats.shut_down_with(self._signals.request)
        self._observer.attach(self.runtime.bus)
        reset_in_child(self)

    def after_fork(self) -> None:
        """Forget, in a forked child, what runs in the parent."""
        self.state = self.state if self.state is ServiceState.NEW else ServiceState.STOPPED

    def register_processor(
        self,
        *,
        queue_name: str,
        processor: Callable[[Job], Any],
        worker_config: WorkerConfig | Mapping[str, Any] = WORKER_CONFIG,
        dead_letter_queue_name: str | None = None,
        execution: Execution = "auto",
        partitions: int = 1,
    ) -> QueueProcessorService:
        """Process ``queue_name`` with ``processor``, an ``async def`` or a plain ``def`` that takes a ``Job``.

        ``partitions`` is how many the queue has, as in its ``JobQueue``.
        Raises ``ConfigurationError`` if the queue has a processor already, or the service has been started.
        """
        if self.state is not ServiceState.NEW:
            raise ConfigurationError(f"queue_name {queue_name!r}: register processors before the service starts")
        if check_queue_name("queue_name", queue_name) in self._processors:
            raise ConfigurationError(f"queue_name {queue_name!r} has a processor already")
        service = QueueProcessorService(
            queue_name=queue_name,
            processor=processor,
            worker_config=worker_config,
            dead_letter_queue_name=dead_letter_queue_name,
            execution=execution,
            partitions=partitions,
            runtime=self.runtime,
        )
        self._processors[queue_name] = service
        self._observer.configure_queue(queue_name, service.config)
        self._log.debug(WORKER_MESSAGES.PROCESSOR_REGISTERED, queue=queue_name)
        return service

    def include(self, queue: TaskQueue) -> QueueProcessorService:
        """Process the tasks of ``queue``, which enqueue here too. Raises as ``register_processor``."""
        if not isinstance(queue, TaskQueue):
            raise ConfigurationError(f"include takes a TaskQueue; for a task, name its queue. Got {queue!r:.80}")
        queue.producers.move(*self.runtime.given)
        return self.register_processor(**queue.registration())

    def processor(self, queue_name: str, **options: Unpack[ProcessorOptions]) -> Callable[[Consumer], Consumer]:
        """``register_processor`` as a decorator, which returns the consumer unchanged."""

        def register(consumer: Consumer) -> Consumer:
            self.register_processor(queue_name=queue_name, processor=consumer, **options)
            return consumer

        return register

    def on_failure(self, hook: FailureHook) -> FailureHook:
        """Call ``hook`` with each failed attempt: a ``JobRetried``, or a ``JobFailed`` for good; also a decorator.

        It is called in a thread of its own, an ``async def`` in the service's loop, and can change no outcome.
        ``failure.error`` is the exception. A cancelled job is none. Raises ``ConfigurationError`` for no function.
        """
        self.runtime.failures.add(hook)
        return hook

    async def start(self) -> None:
        """Connect, run ``init_services``, then start every processor. On failure everything is undone.

        Raises ``ConfigurationError``, ``BrokerError``, or what ``init_services`` raised.
        """
        refuse_reimported_main()
        if self.state is not ServiceState.NEW:
            raise ConfigurationError(f"the service is {self.state}: a service is started once")
        self.state = ServiceState.STARTING
        self._starting = asyncio.current_task()
        report_starting(self.runtime, list(self._processors), self._log)
        waiting = asyncio.create_task(report_waiting(self.runtime, self._log))
        try:
            self.runtime.open()
            for processor in self._processors.values():
                processor.warm_up()
            self.http_port = open_http_port(self, self._log)  # first, so that the probes report a slow start
            await self.runtime.start()
            await initialize(self.init_services)
            for processor in self._processors.values():
                await processor.initialize()
        except BaseException as error:
            stopped = self._unwanted or self._signals.first.is_set()
            report_failure(error, self.runtime, self._log, stopped=stopped)
            await self._close_all(0)
            self.state = ServiceState.STOPPED
            if stopped:
                raise ShutdownError("the service was stopped while it started") from None
            raise
        finally:
            waiting.cancel()
        self.state = ServiceState.RUNNING
        self._log.info(WORKER_MESSAGES.WORKER_READY, broker=str(self.runtime.brokers.address))
        if self._signals.first.is_set():
            self._stop_if_running()

    async def stop(self, timeout: float | None = None) -> bool:
        """Stop taking jobs, wait up to ``timeout`` s (None: shutdown_timeout) for running ones, disconnect.

        What still runs then is cancelled and handed back to its queue. Returns whether every job ended by itself.
        Another call waits for the same stop. Raises ``ConfigurationError`` in another event loop than ``start``;
        does nothing in a forked child.
        """
        if self.state in (ServiceState.NEW, ServiceState.STOPPED):
            self.state = ServiceState.STOPPED
            return True
        self.runtime.check_loop("the service")
        if self.state is ServiceState.STARTING and self._starting is not None:
            self._unwanted = True
            self._starting.cancel()
            await asyncio.wait({self._starting})
            return True
        limit = self.settings.shutdown_timeout if timeout is None else timeout
        return await asyncio.shield(self._begin_stop(limit))

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    async def run(self) -> int:
        """Start unless started, wait for SIGTERM, SIGINT or SIGHUP, stop, and return the exit code.

        0 clean, 1 failed to start, 3 stopped with work handed back, 4 broker unreachable. A signal while starting
        stops it.
        """
        refuse_reimported_main()
        self.runtime.check_loop("the service")
        self.setup_graceful_shutdown()
        starting = asyncio.ensure_future(asyncio.sleep(0) if self.state is ServiceState.RUNNING else self.start())
        signalled = asyncio.create_task(self._signals.first.wait())
        try:
            await asyncio.wait({starting, signalled}, return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                starting.cancel()
                await asyncio.gather(starting, return_exceptions=True)
                return CLEAN if await self.stop() else HANDED_BACK
            try:
                starting.result()
            except (Exception, BaseExceptionGroup) as error:
                self.start_error = deciding_error(error)
                return BROKER_UNREACHABLE if isinstance(self.start_error, BrokerError) else FAILED_TO_START
            tune_gc()
            await signalled
            return CLEAN if await self.stop() else HANDED_BACK
        finally:
            signalled.cancel()
            starting.cancel()
            self._signals.leave()

    def setup_graceful_shutdown(self) -> None:
        """Stop gracefully on SIGTERM, SIGINT and SIGHUP (not if ignored). A second one hands back what runs.

        Call it in the main thread. A second signal counts from 0.5 s after the first one.
        """
        self._signals.handle()

    async def get_health(self) -> ServiceHealth:
        """Return the reference's health report, with reasons."""
        database = await check_database(self._database) if self._database is not None else None
        return ServiceHealth.of(self.state, [await each.get_health() for each in self.get_processors()], database)

    def get_metrics(self) -> list[QueueMetrics]:
        """Return the metrics of every processor."""
        return [QueueMetrics(queue_name=name, metrics=one.get_metrics()) for name, one in self._processors.items()]

    async def pause_all(self) -> None:
        """Pause every processor. Returns once no job can start any more."""
        await asyncio.gather(*(processor.pause() for processor in self._processors.values()))

    async def resume_all(self) -> None:
        """Resume every processor."""
        await asyncio.gather(*(processor.resume() for processor in self._processors.values()))

    def get_processors(self) -> list[QueueProcessorService]:
        """Return every registered processor, in the order of registration."""
        return list(self._processors.values())

    def _stop_if_running(self) -> None:
        if self.state is ServiceState.RUNNING:
            self._begin_stop(self.settings.shutdown_timeout)

    def _begin_stop(self, timeout: float) -> asyncio.Task[bool]:
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop(timeout), name="stop")
        return self._stopping

    async def _stop(self, timeout: float) -> bool:
        self.state = ServiceState.STOPPING
        self._log.info(WORKER_MESSAGES.WORKER_STOPPING, timeout_s=timeout)
        clean = await self._close_all(timeout)
        self.state = ServiceState.STOPPED
        self._log.info(WORKER_MESSAGES.WORKER_STOPPED, clean=clean)
        await asyncio.to_thread(self._opened_log.drain)
        self._signals.leave()
        return clean

    async def _close_all(self, timeout: float) -> bool:
        """Stop taking jobs and end the running ones, all queues at once; then close the connections."""
        closing = [each.close(timeout, hurry=self._signals.second) for each in self._processors.values()]
        results = await asyncio.gather(*closing, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                self._log.error(WORKER_ERRORS.SHUTDOWN_FAILED, error=error_text(result))
        await self.runtime.stop()
        return all(result is True for result in results)
