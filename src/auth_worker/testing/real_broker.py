"""RealBroker: runs a test on a real server, with keys of its own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Mapping
from typing import Any, Self

from auth_worker.brokers.opening import flow_broker, producer_broker, redirect
from auth_worker.config import Settings
from auth_worker.core.ports.producer import FlowBroker, ProducerBroker
from auth_worker.process.startup import initialize
from auth_worker.processor import QueueProcessorService
from auth_worker.queue import JobQueue
from auth_worker.service import WorkerService
from auth_worker.system.loop_thread import LoopThread
from auth_worker.tasks import TaskQueue
from auth_worker.testing.draining import JobRunner

CLOSE_S = 10.0
"""How long (s) disconnecting may take at the end of a test."""


class RealBroker:
    """Sends all jobs of a test to the server at ``url``, under ``prefix``, while its ``with`` block runs.

    It affects every ``TaskQueue``, ``JobQueue`` and ``FlowProducer`` of the process, but none in a worker process
    (``execution="process"``).
    """

    in_memory = False

    def __init__(self, url: str, prefix: str) -> None:
        self.url = url
        self.prefix = prefix
        self._producers: dict[tuple[Any, ...], ProducerBroker] = {}
        self._flows: dict[float, FlowBroker] = {}
        self._loops: set[asyncio.AbstractEventLoop] = set()
        self._mutex = threading.Lock()
        self._exits = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._exits.enter_context(redirect(self))
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._exits.close()
        for loop in self._loops:
            self._disconnect(loop)

    @property
    def settings(self) -> Settings:
        """The settings of a service on this broker."""
        return Settings(
            redis_url=self.url, prefix=self.prefix, http_port=None, log_level="ERROR", reconcile_interval=0.2
        )

    def queue(self, name: str) -> JobQueue:
        """Return the queue ``name``, to add and inspect jobs."""
        return JobQueue(name, self.url, settings=self.settings)

    def worker(self, *runners: JobRunner) -> RunningWorker:
        """Return a worker of a ``TaskQueue`` or of all processors of a ``WorkerService``.

        It runs in an ``async with`` block in the test's event loop, in a ``with`` block in one of its own.
        """
        return RunningWorker(self.settings, runners)

    def producer(
        self, queue: str, settings: Settings, defaults: Mapping[str, Any], timeout: float
    ) -> ProducerBroker:
        """As in ``Redirection``."""
        with self._mutex:
            self._loops.add(asyncio.get_running_loop())
            key = queue, repr(defaults), timeout
            if key not in self._producers:
                self._producers[key] = producer_broker(queue, self.url, self._own(settings), defaults, timeout)
            return self._producers[key]

    def flows(self, settings: Settings, timeout: float) -> FlowBroker:
        """As in ``Redirection``."""
        with self._mutex:
            self._loops.add(asyncio.get_running_loop())
            if timeout not in self._flows:
                self._flows[timeout] = flow_broker(self.url, self._own(settings), timeout)
            return self._flows[timeout]

    def _own(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"prefix": self.prefix})

    def _disconnect(self, loop: asyncio.AbstractEventLoop) -> None:
        """Disconnect ``loop``. If it is closed or runs this call, its connections end together with it."""
        if loop.is_closed() or loop is asyncio._get_running_loop():
            return
        if loop.is_running():
            asyncio.run_coroutine_threadsafe(self._leave(), loop).result(CLOSE_S)
        else:  # the test has ended
            loop.run_until_complete(self._leave())

    async def _leave(self) -> None:
        for producer in self._producers.values():
            await producer.leave()
        for flows in self._flows.values():
            await flows.close()


class RunningWorker:
    """A service that runs jobs while its block runs, which may be an ``async with`` or a ``with``.

    It has the processors and ``init_services`` of the services that it was given, but none of their hooks.
    """

    def __init__(self, settings: Settings, runners: tuple[JobRunner, ...]) -> None:
        self._settings = settings
        self._runners = runners
        self._service: WorkerService | None = None
        self._thread = LoopThread("auth-worker-test")

    async def __aenter__(self) -> WorkerService:
        self._service = WorkerService(settings=self._settings, init_services=self._initialize)
        for each in self._runners:
            _include(self._service, each)
        await self._service.start()
        return self._service

    async def _initialize(self) -> None:
        for each in self._runners:
            if isinstance(each, WorkerService):
                await initialize(each.init_services)

    async def __aexit__(self, *exc_info: object) -> None:
        if self._service is not None:
            await self._service.stop()

    def __enter__(self) -> WorkerService:
        self._thread.start()
        try:
            return asyncio.run(self._thread.call(self.__aenter__()))
        except BaseException:
            asyncio.run(self._thread.stop())
            raise

    def __exit__(self, *exc_info: object) -> None:
        try:
            asyncio.run(self._thread.call(self.__aexit__()))
        finally:
            asyncio.run(self._thread.stop())


def _include(service: WorkerService, runner: JobRunner) -> None:
    match runner:
        case TaskQueue():
            service.include(runner)
        case QueueProcessorService():
            consumer: Any = runner.consumer
            service.register_processor(
                queue_name=runner.queue_name,
                processor=consumer,
                worker_config=runner.config,
                dead_letter_queue_name=runner.dead_letter_queue_name,
                execution=runner.execution,
            )
        case WorkerService():
            for each in runner.get_processors():
                _include(service, each)
        case _:
            raise TypeError(f"jobs are run by a TaskQueue or a service, not by {runner!r:.80}")
