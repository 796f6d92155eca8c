"""Fetches the jobs of one queue while slots are free, and waits for the doorbell while the queue is empty.

When the doorbell rings, one slot fetches a job; that fetch leaves a marker, which rings for the next. Two jobs in
a row mean that there are more, so each further job makes two slots fetch, and a burst fills all slots in a few
round trips. A run that ends fetches the next job in the same command; an empty answer frees its slot.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial

from auth_worker.config import WorkerConfig
from auth_worker.core.clock import now_ms
from auth_worker.core.error_text import error_text
from auth_worker.core.ports.worker import LONGEST_PAUSE, Fetched, Nothing, Settled, Taken, Unreadable, WorkerBroker
from auth_worker.engine.quarantine import Quarantine
from auth_worker.engine.registry import Registry
from auth_worker.engine.reply_recovery import ReplyRecovery
from auth_worker.engine.slots import Slots
from auth_worker.errors import BrokerBusyError, BrokerError, BrokerUnavailableError, BrokerUnpreparedError
from auth_worker.events import EventBus, Problem, ProcessorChanged
from auth_worker.job import Job
from auth_worker.messages import WORKER_ERRORS

REFUSED_PAUSE = 1.0
Launch = Callable[[str, Taken, float], None]
"""Called with the token, the job, and the time (monotonic s) from which its lease counts."""


class Fetcher:
    """Fetches for one queue's worker. Its tokens start with ``worker_id``."""

    _launch: Launch

    def __init__(
        self,
        broker: WorkerBroker,
        registry: Registry,
        quarantine: Quarantine,
        bus: EventBus,
        *,
        queue: str,
        worker_id: str,
        config: WorkerConfig,
    ) -> None:
        self._broker = broker
        self._quarantine = quarantine
        self._bus = bus
        self._queue = queue
        self._drain_delay = config.drain_delay / 1000
        self._drained_timer: asyncio.TimerHandle | None = None
        self._lease_s = config.lock_duration / 1000
        self._slots = Slots(broker, worker_id, config.concurrency)
        self._recovery = ReplyRecovery(
            broker, held=registry.held_jobs, on_found=self._found, on_missing=partial(self.release, spent=True)
        )
        self._had_jobs = False
        """Whether a job has come since the queue was last reported as drained."""
        self._pending = 0
        """How many replies to fetches and hand-backs are awaited."""
        self._streak = 0
        """How many jobs have come since a fetch last found none."""
        self._open = False
        self._paused_until = 0.0
        self._looked = time.monotonic()
        """When the queue was last looked at, or a slot became free."""
        self._timer: asyncio.Handle | None = None
        self._wakes_at = 0.0
        self._quiet = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._preparing: asyncio.Task[None] | None = None

    def deliver_to(self, launch: Launch) -> None:
        """Pass each job to ``launch``, from ``open`` on. Closes the ring: a run that ends fetches the next job."""
        self._launch = launch

    @property
    def wants_more(self) -> bool:
        """Whether the next job may be fetched with a settle."""
        return self._open and not self._quarantine.closed

    @property
    def overdue_s(self) -> float:
        """How long (s) a slot has been free without a look at the queue. 0 while the broker is away."""
        if not (self.wants_more and self._slots.free and self._broker.is_up):
            return 0.0
        return time.monotonic() - self._looked

    def open(self) -> None:
        """Start to fetch."""
        self._open = True
        self._quiet.set()
        self.look()

    async def close(self) -> None:
        """Stop fetching. Returns once no reply with a job can arrive any more, or after another ``open``."""
        self.stop_fetching()
        if self._pending:
            self._quiet.clear()
            await self._quiet.wait()

    def stop_fetching(self) -> None:
        """Send no more fetches. Replies to earlier ones may still arrive."""
        self._open = False
        self._broker.unwatch()
        for timer in (self._timer, self._drained_timer):
            if timer is not None:
                timer.cancel()
        self._timer = self._drained_timer = None

    async def stop(self) -> None:
        """Stop the recovery of lost replies, and the preparation of the broker."""
        await self._recovery.stop()
        if self._preparing is not None:
            self._preparing.cancel()
            await asyncio.gather(self._preparing, return_exceptions=True)

    def look(self, due: float = 0.0) -> None:
        """Fetch a job now. If the next one is delayed until ``due`` (epoch ms), wait for that, or the doorbell."""
        self._looked = time.monotonic()
        if not self.wants_more or not self._slots.free:
            return
        if due and due > now_ms():
            self._wait(due)
        elif self._paused_until <= time.monotonic():
            self._fetch()

    def pause(self, seconds: float, *, ignore_doorbell: bool = True) -> None:
        """Look again after ``seconds``, and with ``ignore_doorbell`` not earlier."""
        if ignore_doorbell:
            self._paused_until = time.monotonic() + seconds
        when = self._loop.time() + seconds
        if self._timer is not None:
            if self._wakes_at <= when:
                return  # a look that comes too early pauses again
            self._timer.cancel()
        self._timer, self._wakes_at = self._loop.call_at(when, self._wake), when

    def count_fetch(self) -> None:
        """Count a settle that also fetches a job. ``received`` must follow."""
        self._pending += 1

    def received(self, token: str, answer: Taken | Nothing | BrokerError | None, sent: float) -> None:
        """Take the reply to a fetch that was sent at ``sent`` (monotonic s). None: the slot stays with its run."""
        self._pending -= 1
        match answer:
            case None:
                pass
            case Fetched() | Unreadable():
                self._take(token, answer, sent)
            case Nothing(limited_ms, next_due):
                self._free_slot(token)
                self._streak = 0
                if self._open and self._had_jobs and self._drained_timer is None:
                    self._drained_timer = self._loop.call_later(self._drain_delay, self._report_drained)
                self._wait_for_next(limited_ms, next_due)
            case _:
                self._failed(token, answer)
        if not self._pending:
            self._quiet.set()

    def release(self, token: str, *, spent: bool = False) -> None:
        """Free the slot of a run that ended without a fetch. A ``spent`` token may lock a job: it is replaced."""
        self._free_slot(self._slots.replaced(token) if spent else token)
        self.look()

    def lend(self) -> None:
        """Lend the slot of a run that will wait for long to another job."""
        self._slots.lend()
        self.look()

    def reclaim(self, *, owed: bool = False) -> bool:
        """As ``Slots.reclaim``."""
        return self._slots.reclaim(owed=owed)

    def put_back(self, token: str, job: Job) -> None:
        """Return a job to the front of the queue without running it, and free its slot."""
        self._pending += 1
        self._send_back(token, job, self._loop.time() + self._lease_s)

    def recover(self) -> None:
        """After a reconnect: find the jobs whose reply was lost, and fetch again."""
        self._recovery.recover()
        self.look()

    def _fetch(self) -> None:
        token = self._slots.free.pop()
        self._pending += 1
        sent = time.monotonic()
        self._broker.fetch(token, lambda answer: self.received(token, answer, sent))

    def _take(self, token: str, taken: Taken, sent: float) -> None:
        late = time.monotonic() - sent >= self._lease_s  # we were frozen: by now another worker may have the job
        if late or not self._open:
            self.put_back(token, taken.job)
            return
        self._had_jobs = True
        if self._drained_timer is not None:
            self._drained_timer.cancel()
            self._drained_timer = None
        self._launch(token, taken, sent)
        if not self._slots.free or not self.wants_more:
            return
        self._streak += 1
        if self._streak == 1:
            self._broker.watch(self.look)
            return
        self._fetch()
        if self._slots.free:
            self._fetch()

    def _wait_for_next(self, limited_ms: int, next_due: float) -> None:
        if not self._open:
            return
        if limited_ms:
            self.pause(min(limited_ms / 1000, LONGEST_PAUSE))
        elif next_due:
            self._wait(next_due)
        elif not self._pending:
            self._broker.watch(self.look)

    def _wait(self, due: float) -> None:
        self.pause(max(due - now_ms(), 0) / 1000, ignore_doorbell=False)
        self._broker.watch(self.look)

    def _wake(self) -> None:
        self._timer, self._paused_until = None, 0.0
        self.look()

    def _report_drained(self) -> None:
        """Report that the queue has been empty for the drain delay."""
        self._drained_timer, self._had_jobs = None, False
        self._bus.emit(ProcessorChanged(self._queue, "drained"))

    def _failed(self, token: str, error: BrokerError) -> None:
        if isinstance(error, BrokerUnavailableError):
            self._recovery.add_lost(token)
            return
        self._looked = time.monotonic()
        self._bus.emit(Problem(WORKER_ERRORS.BROKER_REFUSED, self._queue, error_text(error), error.code))
        if isinstance(error, BrokerUnpreparedError):
            self._free_slot(self._slots.replaced(token))
            self._start_preparing()
        elif isinstance(error, BrokerBusyError):
            self._free_slot(self._slots.replaced(token))
            self.pause(REFUSED_PAUSE)
        else:  # the script failed, perhaps after it had taken a job
            self._recovery.add_lost(token)
            self._loop.call_later(REFUSED_PAUSE, self.recover)

    def _start_preparing(self) -> None:
        if self._preparing is None or self._preparing.done():
            self._preparing = asyncio.create_task(self._prepare(), name=f"prepare {self._queue}")

    async def _prepare(self) -> None:
        try:
            await self._broker.prepare()
        except BrokerError:
            self.pause(REFUSED_PAUSE)
        else:
            self.look()

    def _send_back(self, token: str, job: Job, until: float) -> None:
        self._broker.hand_back(job, token, partial(self._was_put_back, token, job, until))

    def _was_put_back(self, token: str, job: Job, until: float, answer: Settled | BrokerError) -> None:
        if isinstance(answer, BrokerBusyError | BrokerUnpreparedError) and self._loop.time() < until:
            if isinstance(answer, BrokerUnpreparedError):
                self._start_preparing()
            self._loop.call_later(REFUSED_PAUSE, self._send_back, token, job, until)
            return
        self._pending -= 1
        if isinstance(answer, BrokerUnavailableError):
            self._recovery.add_lost(token)
        else:
            self.release(token, spent=True)
        if not self._pending:
            self._quiet.set()

    def _found(self, token: str, taken: Taken, sent: float, given_away: bool) -> None:
        if given_away:
            self._slots.exceed()
        self._take(token, taken, sent)

    def _free_slot(self, token: str) -> None:
        if self._slots.release(token):
            self._looked = time.monotonic()
