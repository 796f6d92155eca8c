"""A queue's worker on a scripted broker: the engine without a server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from auth_worker.config import Settings, WorkerConfig
from auth_worker.core.ports.worker import Taken
from auth_worker.engine.executors import Executor, LoopExecutor
from auth_worker.engine.perform import perform
from auth_worker.engine.quarantine import Quarantine
from auth_worker.engine.queue_worker import QueueWorker
from auth_worker.events import EventBus, JobCompleted, JobFailed, JobMoved, JobRetried, LeaseLost, Problem
from auth_worker.job import Job
from support.scripted_broker import QUEUE, ScriptedBroker, SettleCall

ENDS = (JobCompleted, JobFailed, JobRetried, JobMoved, LeaseLost)


class Engine:
    """A ``QueueWorker`` on a scripted broker, and the events it emits. ``config``: as in ``WorkerConfig``."""

    def __init__(
        self,
        consumer: Callable[[Job], Any] | None = None,
        *,
        executor: Executor | None = None,
        quarantine: Quarantine | None = None,
        **config: Any,
    ) -> None:
        self.broker = ScriptedBroker()
        self.events: list[Any] = []
        self.bus = EventBus()
        self.quarantine = quarantine or Quarantine()
        self.config = WorkerConfig(**{"concurrency": 2, "drain_delay": 60_000, **config})
        self.worker = QueueWorker(
            self.broker,
            self.quarantine,
            self.bus,
            queue=QUEUE,
            config=self.config,
            settings=Settings(http_port=None),
            executor=executor or LoopExecutor(consumer or _returns),
            perform=perform,
            dead_letters=True,
        )
        self.worker.attach()

    def listen(self, *kinds: type) -> None:
        """Note the events of these types."""
        for kind in kinds:
            self.bus.subscribe(kind, self.events.append)

    def give(self, *jobs: Taken) -> None:
        """Answer the oldest fetches with ``jobs``."""
        for job in jobs:
            self.broker.fetches.pop(0).answer(job)

    async def settle(self) -> SettleCall:
        """The next settle, once it has been sent."""
        await until(lambda: self.broker.settles, "a settle")
        return self.broker.settles.pop(0)

    async def finish(self) -> None:
        """Stop what still runs, whatever it waits for."""
        await self.worker.stop()
        for run in self.worker.held():
            if run.task is not None:
                run.task.cancel()


async def until(condition: Callable[[], Any], what: str, within: float = 5.0) -> None:
    """Let the loop turn until ``condition`` is true."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come within {within} s"
        await asyncio.sleep(0)


async def turns(count: int = 5) -> None:
    """Let the loop turn, for what must not happen to have its chance."""
    for _ in range(count):
        await asyncio.sleep(0)


async def _returns(job: Job) -> str:
    return job.id


def started(engine: Engine, *jobs: Taken) -> Engine:
    """The engine with ``jobs`` fetched."""
    engine.listen(*ENDS, Problem)
    engine.worker.resume()
    for job in jobs:
        if not engine.broker.fetches:
            engine.broker.ring()
        engine.give(job)
    return engine


async def ended(engine: Engine) -> type:
    """How the only job ended."""
    await until(lambda: engine.worker.active == 0, "the end")
    [event] = [each for each in engine.events if not isinstance(each, Problem)]
    return type(event)
