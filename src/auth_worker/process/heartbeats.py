"""Sends the heartbeats of this process from the watch loop, and does what operators request of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
import uuid
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

from auth_worker.core.heartbeat import (
    BEAT_S,
    LIFETIME_MS,
    MOST_JOBS,
    Heartbeat,
    QueueBeat,
    RunningJob,
    WorkerState,
)
from auth_worker.core.ports.heartbeats import HeartbeatWriter
from auth_worker.core.report import Metrics
from auth_worker.core.run import Run
from auth_worker.errors import BrokerError
from auth_worker.system.forks import reset_in_child
from auth_worker.system.memory import resident_bytes

WITHDRAW_S = 0.5
"""How long (s) a stop waits until the last heartbeat is removed."""


class Member(Protocol):
    """The processor of one queue. Any thread may read it; its coroutines belong to the work loop."""

    queue_name: str

    @property
    def worker_name(self) -> str:
        """The name that jobs and worker lists show."""

    @property
    def slots(self) -> int:
        """How many jobs it runs at a time."""

    @property
    def suspects(self) -> int:
        """How many jobs recovered from dead workers wait here."""

    @property
    def is_paused(self) -> bool:
        """Whether it is paused."""

    @property
    def is_draining(self) -> bool:
        """Whether it is being closed."""

    def held(self) -> Sequence[Run]:
        """Return its runs."""

    def get_metrics(self) -> Metrics:
        """Return what it has done since the start."""

    async def pause(self) -> None:
        """Take no more jobs."""

    async def resume(self) -> None:
        """Take jobs again."""

    async def close(self) -> bool:
        """Take no more jobs, wait for running ones, and disconnect."""


class Heartbeats:
    """Sends the heartbeats of the processors of this process. ``run`` belongs to the watch loop.

    ``writers`` returns where to; ``lag_s`` how late the work loop is; ``version`` is that of the application.
    ``add``, ``remove`` and ``shut_down_with`` belong to the work loop.
    """

    def __init__(
        self, writers: Callable[[], Sequence[HeartbeatWriter]], lag_s: Callable[[], float], version: str
    ) -> None:
        self.process_id = uuid.uuid4().hex
        self._writers = writers
        self._lag_s = lag_s
        self._version = version
        self._members: list[Member] = []
        self._began = time.monotonic()
        self._shut_down: Callable[[], None] | None = None
        self._work_loop: asyncio.AbstractEventLoop | None = None
        self._acting: set[asyncio.Task[None]] = set()
        reset_in_child(self)

    def after_fork(self) -> None:
        """Forget, in a forked child, what runs in the parent."""
        self.process_id = uuid.uuid4().hex
        self._members = []
        self._began = time.monotonic()

    def add(self, member: Member) -> None:
        """Report a processor too, from now on."""
        self._work_loop = asyncio.get_running_loop()
        self._members = [*self._members, member]

    def remove(self, member: Member) -> None:
        """Report a processor no more."""
        self._members = [each for each in self._members if each is not member]

    def shut_down_with(self, shut_down: Callable[[], None]) -> None:
        """Call ``shut_down`` in the work loop when it is requested. Without one, each processor is closed."""
        self._shut_down = shut_down

    async def run(self) -> None:
        """Send heartbeats until cancelled."""
        while True:
            if self._members:
                record = self.heartbeat().model_dump_json(by_alias=True)
                for writer in self._writers():
                    with contextlib.suppress(BrokerError):  # the next one is due soon
                        self._hand_over(await writer.beat(self.process_id, record, LIFETIME_MS))
            await asyncio.sleep(BEAT_S)

    async def withdraw(self) -> None:
        """Remove the last heartbeat, since the process stops. Waits at most ``WITHDRAW_S``."""
        with contextlib.suppress(BrokerError, TimeoutError):
            async with asyncio.timeout(WITHDRAW_S):
                await asyncio.gather(*(writer.withdraw(self.process_id) for writer in self._writers()))

    def heartbeat(self) -> Heartbeat:
        """Return what this process says of itself now."""
        members = self._members
        state: WorkerState = "running"
        if any(member.is_draining for member in members):
            state = "draining"
        elif members and all(member.is_paused for member in members):
            state = "paused"
        return Heartbeat(
            id=self.process_id,
            host=socket.gethostname(),
            pid=os.getpid(),
            version=self._version,
            state=state,
            up_ms=_ms(time.monotonic() - self._began),
            lag_ms=_ms(self._lag_s()),
            memory_bytes=resident_bytes(),
            queues=[_beat_of(member) for member in members],
        )

    def _hand_over(self, request: str) -> None:
        if request and self._work_loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the process ends anyway
                self._work_loop.call_soon_threadsafe(self._act, request)

    def _act(self, request: str) -> None:
        if request == "shut-down" and self._shut_down is not None:
            self._shut_down()
            return
        acts: dict[str, Callable[[Member], Coroutine[Any, Any, object]]] = {
            "pause": lambda member: member.pause(),
            "resume": lambda member: member.resume(),
            "shut-down": lambda member: member.close(),
        }
        if (act := acts.get(request)) is not None:
            task = asyncio.ensure_future(_all(act, self._members))
            self._acting.add(task)
            task.add_done_callback(self._acting.discard)


async def _all(act: Callable[[Member], Coroutine[Any, Any, object]], members: Sequence[Member]) -> None:
    await asyncio.gather(*map(act, members))


def _beat_of(member: Member) -> QueueBeat:
    runs = sorted(member.held(), key=lambda run: -run.duration_ms)
    metrics = member.get_metrics()
    return QueueBeat(
        queue=member.queue_name,
        worker=member.worker_name,
        slots=member.slots,
        active=len(runs),
        paused=member.is_paused,
        leases_lost=metrics.leases_lost,
        suspects=member.suspects,
        jobs=[
            RunningJob(id=run.job.id, name=run.job.name, running_ms=round(run.duration_ms))
            for run in runs[:MOST_JOBS]
        ],
    )


def _ms(seconds: float) -> int:
    return round(max(seconds, 0) * 1000)
