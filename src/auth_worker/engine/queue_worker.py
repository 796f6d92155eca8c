"""Works one queue: the parts of the engine, wired into a ring.

::

    fetcher --> launcher --> perform --> settlement --> broker, ledger --> events
       ^                                     |
       +----- the next job, or a free slot --+
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any

from auth_worker.config import Settings, WorkerConfig
from auth_worker.core.outcome import Cause
from auth_worker.core.ports.worker import WorkerBroker
from auth_worker.core.report import Metrics
from auth_worker.core.run import Perform, Phase, Run
from auth_worker.engine.cancellation import CancellationRequests
from auth_worker.engine.executors import Executor
from auth_worker.engine.fetcher import Fetcher
from auth_worker.engine.launcher import Launcher
from auth_worker.engine.leases import LeaseRenewer
from auth_worker.engine.ledger import Ledger
from auth_worker.engine.maintenance import DeadLetterUpkeep, SchedulerUpkeep, StalledCheck
from auth_worker.engine.prefetch import Prefetch
from auth_worker.engine.quarantine import Quarantine
from auth_worker.engine.registry import Registry
from auth_worker.engine.settlement import Settlement
from auth_worker.engine.waiting_runs import WaitingRuns
from auth_worker.events import EventBus
from auth_worker.system.loops import first_of

CANCEL_GRACE = 1.0
"""How long (s) a cancelled consumer has to end before its job is handed back without it."""
Part = Callable[[], Coroutine[Any, Any, None]]


class QueueWorker:
    """Works ``queue`` from ``resume`` to ``drain``. Belongs to the work loop, in which it is created.

    ``dead_letters``: whether the queue has a dead-letter queue to look after.
    """

    def __init__(
        self,
        broker: WorkerBroker,
        quarantine: Quarantine,
        bus: EventBus,
        *,
        queue: str,
        config: WorkerConfig,
        settings: Settings,
        executor: Executor,
        perform: Perform,
        dead_letters: bool,
    ) -> None:
        self.broker = broker
        self._quarantine = quarantine
        self._lease_s = config.lock_duration / 1000
        self._loop = asyncio.get_running_loop()
        self._draining = False
        self._registry = Registry(quarantine)
        self._ledger = Ledger(self._registry, bus)
        worker_id = str(uuid.uuid4())
        self._fetcher = Fetcher(
            broker, self._registry, quarantine, bus, queue=queue, worker_id=worker_id, config=config
        )
        self._settlement = Settlement(broker, self._fetcher, self._ledger, bus, lease_s=self._lease_s)
        self._waiting = WaitingRuns(
            self._fetcher,
            self._settlement,
            quarantine,
            bus,
            isolated=executor.isolates,
            max_stalled_count=config.max_stalled_count,
        )
        self._launcher = self._new_launcher(queue, bus, config, settings, executor, perform)
        self._fetcher.deliver_to(self._launcher.launch)
        self._cancellations = CancellationRequests(broker, self._registry, self._launcher, bus, queue, worker_id)
        self.watch_parts = self._watch_parts(bus, queue, config, settings, dead_letters=dead_letters)
        """What the watch loop runs, from ``attach`` until after ``drain``."""

    def _new_launcher(
        self,
        queue: str,
        bus: EventBus,
        config: WorkerConfig,
        settings: Settings,
        executor: Executor,
        perform: Perform,
    ) -> Launcher:
        prefetch = Prefetch(self._fetcher, self._waiting, config.concurrency) if executor.isolates else None
        return Launcher(
            self.broker,
            self._registry,
            self._settlement,
            self._waiting,
            prefetch,
            self._quarantine,
            bus,
            queue=queue,
            config=config,
            settings=settings,
            executor=executor,
            perform=perform,
        )

    def _watch_parts(
        self, bus: EventBus, queue: str, config: WorkerConfig, settings: Settings, *, dead_letters: bool
    ) -> list[Part]:
        parts: list[Part] = []
        for partition, upkeep in enumerate(self.broker.upkeeps):
            leases = LeaseRenewer(
                upkeep,
                bus,
                queue=queue,
                lease_s=self._lease_s,
                held=partial(self._held_of, partition),
                on_lost=self._on_lost,
                on_cancelled=self._on_cancelled,
            )
            stalled = StalledCheck(upkeep, queue, config, bus)
            parts += [leases.run, stalled.run, SchedulerUpkeep(upkeep, queue, settings, bus).run]
            if dead_letters:
                parts.append(DeadLetterUpkeep(upkeep, queue, settings, bus).run)
        return parts

    @property
    def active(self) -> int:
        """How many jobs run, wait here to run, or are being settled."""
        return len(self._registry)

    @property
    def suspects(self) -> int:
        """How many jobs recovered from dead workers wait here until they may run. Any thread may read it."""
        return self._waiting.suspects

    @property
    def stuck(self) -> bool:
        """Whether a consumer did not end although its job was handed back; it cannot be stopped."""
        return self._registry.stuck

    @property
    def overdue_s(self) -> float:
        """How long (s) it has failed to look for jobs; normally 0. Any thread may read it."""
        return self._fetcher.overdue_s

    @property
    def metrics(self) -> Metrics:
        """What it has done so far."""
        return self._ledger.tally.metrics(len(self._registry))

    def request_cancellation(self, job_id: str, token: str, reason: str, partition: int = 0) -> None:
        """Cancel a job that ``token`` held when somebody requested it, for ``reason``, if it is ours."""
        self._cancellations.request(job_id, token, reason, partition)

    def held(self) -> list[Run]:
        """Return every run whose end has not been reported. Any thread may call it."""
        return self._registry.held()

    def attach(self) -> None:
        """Subscribe to reconnects of the broker and to the opening of the quarantine."""
        self.broker.on_up(self._fetcher.recover)
        self._quarantine.subscribe(self._fetcher.look, self._lease_s)

    def resume(self) -> None:
        """Fetch jobs, unless the worker is draining."""
        self._launcher.paused = False
        if not self._draining:
            self._fetcher.open()

    def pause(self) -> None:
        """Start no more jobs, and return those that wait here to the queue. Call ``close`` next."""
        self._launcher.paused = True
        self._launcher.hand_back_waiting()

    async def close(self) -> None:
        """Fetch no more. Returns once no job can arrive or start any more."""
        await self._fetcher.close()
        await asyncio.sleep(0)  # a job that came just before starts before this returns, not after

    def begin_drain(self) -> None:
        """Fetch no more jobs from now on. Call ``drain`` next."""
        self._draining = True
        self._fetcher.stop_fetching()

    async def drain(self, timeout: float, hurry: Iterable[asyncio.Event] = ()) -> bool:
        """Wait ``timeout`` s for the running jobs, then hand them back; less if one of ``hurry`` is set.

        Returns whether every job ended by itself. The time is bounded also while the broker is away.
        """
        self.begin_drain()
        self._launcher.hand_back_waiting()
        unfinished = self._ledger.tally.unfinished
        quiet = asyncio.gather(self._fetcher.close(), self._registry.idle.wait())
        await first_of(timeout, quiet, *(event.wait() for event in hurry))
        if self._registry:
            self._launcher.cancel(Cause.SHUTDOWN)
            await first_of(CANCEL_GRACE, self._registry.idle.wait())
            self._launcher.hand_back_all()
            await first_of(CANCEL_GRACE, self._registry.idle.wait())
        return not self._registry and self._ledger.tally.unfinished == unfinished

    async def stop(self) -> None:
        """Stop writing outcomes and finding jobs. The stalled check finds the rest once its lease has expired."""
        await self._cancellations.stop()
        await self._settlement.stop()
        await self._fetcher.stop()

    async def hand_back_now(self) -> None:
        """Hand back what runs, from the watch loop, because the work loop is blocked. Raises ``BrokerError``."""
        for partition, upkeep in enumerate(self.broker.upkeeps):
            await upkeep.hand_back_now(
                [run for run in self._held_of(partition) if run.phase is not Phase.SETTLING]
            )

    def _held_of(self, partition: int) -> list[Run]:
        return [run for run in self._registry.held() if run.job.partition == partition]

    def _on_cancelled(self, requested: list[tuple[Run, str]]) -> None:
        self._loop.call_soon_threadsafe(self._cancellations.found, requested)

    def _on_lost(self, runs: list[Run]) -> None:
        self._loop.call_soon_threadsafe(self._launcher.cancel, Cause.LEASE_LOST, runs)
