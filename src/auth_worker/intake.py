"""Intake: asks Redis for jobs while slots are free, and waits at the doorbell when there are none.

A slot is a token: free, asking, or with a run. A ring asks for one job; the job's fetch leaves a marker behind,
which rings for the next, here or at another worker. Two jobs in a row mean there are more, and every further one
asks for two, so that a burst fills all slots within a few round trips. A run that ends fetches the next job in
the same command; an empty answer parks its slot.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial

from auth_worker.broker.doorbell import Doorbell
from auth_worker.broker.replies import Fetched, Nothing, Settled
from auth_worker.broker.store import Store
from auth_worker.errors import BrokerBusyError, BrokerError, BrokerUnavailableError
from auth_worker.events import EventBus, Problem, ProcessorChanged
from auth_worker.lost_replies import LostReplies
from auth_worker.messages import WORKER_ERRORS
from auth_worker.quarantine import Quarantine

REFUSED_PAUSE = 1.0
LONGEST_REST = 30.0
"""How long (s) to rest at most before looking whether a rate limit still holds: it can be lifted. As Node does."""
Launch = Callable[[str, Fetched, float], None]


class Intake:
    """The slots of one queue's processor. ``launch`` takes a job to run, with its token and lease time.

    ``held`` gives the ids of the jobs that run here or are being settled.
    """

    def __init__(
        self,
        store: Store,
        doorbell: Doorbell,
        quarantine: Quarantine,
        bus: EventBus,
        *,
        queue: str,
        worker_id: str,
        concurrency: int,
        lease_s: float,
        drain_delay: int,
        launch: Launch,
        held: Callable[[], set[str]],
    ) -> None:
        self._store = store
        self._doorbell = doorbell
        self._quarantine = quarantine
        self._bus = bus
        self._queue = queue
        self._worker_id = worker_id
        self._drain_delay = drain_delay / 1000
        self._draining: asyncio.TimerHandle | None = None
        self._lease_s = lease_s
        self._launch = launch
        self._marker = f"{store.key_prefix}marker".encode()
        self._issued = 0
        self._free = [self._new_token() for _ in range(concurrency)]
        self._lost = LostReplies(
            store, held=held, on_found=self._found, on_missing=partial(self.release, "", spent=True)
        )
        self._surplus = 0
        self._busy = False
        self._asking = 0
        self._streak = 0
        self._open = False
        self._rest_until = 0.0
        self._looked = time.monotonic()
        self._timer: asyncio.Handle | None = None
        self._wakes_at = 0.0
        self._quiet = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._reloading: asyncio.Task[None] | None = None

    @property
    def wants_more(self) -> bool:
        """Whether the next job may be fetched with a settle."""
        return self._open and not self._quarantine.closed

    @property
    def overdue_s(self) -> float:
        """For how long (s) a slot has been free and nobody looked; 0 while none need look. From any thread.

        While Redis is away nobody need; else somebody does whenever a wait at the doorbell or a rest ends.
        """
        if not (self.wants_more and self._free and self._store.link.is_up):
            return 0.0
        return time.monotonic() - self._looked

    def open(self) -> None:
        """Start asking."""
        self._open = True
        self._quiet.set()
        self.look()

    async def close(self) -> None:
        """Stop asking; returns once no answer with a job can come any more, or it was opened again."""
        self._open = False
        self._doorbell.unwatch(self._marker)
        for timer in (self._timer, self._draining):
            if timer is not None:
                timer.cancel()
        self._timer = self._draining = None
        if self._asking:
            self._quiet.clear()
            await self._quiet.wait()

    async def stop(self) -> None:
        """Give up what is still being looked for."""
        await self._lost.stop()
        if self._reloading is not None:
            self._reloading.cancel()
            await asyncio.gather(self._reloading, return_exceptions=True)

    def look(self, due: float = 0.0) -> None:
        """Ask for a job now; or, with only a delayed one ``due`` (epoch ms), wait for it and the doorbell."""
        self._looked = time.monotonic()
        if not self.wants_more or not self._free:
            return
        if due and due > time.time() * 1000:
            self._wait(due)
        elif self._rest_until <= time.monotonic():
            self._ask()

    def rest(self, seconds: float, *, resting: bool = True) -> None:
        """Look again after ``seconds``; ``resting`` says to ignore the doorbell until then."""
        if resting:
            self._rest_until = time.monotonic() + seconds
        when = self._loop.time() + seconds
        if self._timer is not None:
            if self._wakes_at <= when:
                return  # who looks too early is told to rest again
            self._timer.cancel()
        self._timer, self._wakes_at = self._loop.call_at(when, self._wake), when

    def asked(self) -> None:
        """A settle that also asks for a job is under way; ``received`` must follow."""
        self._asking += 1

    def received(self, token: str, answer: Fetched | Nothing | BrokerError | None, sent: float) -> None:
        """The answer for a slot that asked, at ``sent`` (monotonic s); None leaves the slot with its run."""
        self._asking -= 1
        match answer:
            case None:
                pass
            case Fetched():
                self._take(token, answer, sent)
            case Nothing(limited_ms, next_due):
                self._free_slot(token)
                self._streak = 0
                if self._open and self._busy and self._draining is None:
                    self._draining = self._loop.call_later(self._drain_delay, self._tell_drained)
                self._park(limited_ms, next_due)
            case _:
                self._failed(token, answer)
        if not self._asking:
            self._quiet.set()

    def release(self, token: str, *, spent: bool = False) -> None:
        """A run is over and asked for nothing. A ``spent`` token may still lock a job: a new one replaces it."""
        self._free_slot(self._successor(token) if spent else token)
        self.look()

    def lend(self) -> None:
        """A run waits that is not to begin soon: give its slot to another job."""
        self._free.append(self._new_token())
        self.look()

    def reclaim(self, *, owed: bool = False) -> bool:
        """Take a free slot for a run that has lent its own, or, if it may be ``owed``, the next one to be free."""
        if self._free:
            self._store.forget(self._free.pop())
            return True
        self._surplus += owed
        return owed

    def put_back(self, token: str, job_id: str) -> None:
        """Return a job to the front of the queue, not run; its slot becomes free."""
        self._asking += 1
        self._store.hand_back(job_id, token, partial(self._was_put_back, token))

    def recover(self) -> None:
        """The connection is back: find the jobs whose reply was lost, and ask again."""
        self._lost.recover()
        self.look()

    def _new_token(self) -> str:
        self._issued += 1
        return f"{self._worker_id}:{self._issued}"

    def _successor(self, token: str) -> str:
        """A new token for the slot of one that may still lock a job, or belong to a run that is being settled."""
        self._store.forget(token)
        return self._new_token()

    def _ask(self) -> None:
        token = self._free.pop()
        self._asking += 1
        sent = time.monotonic()
        self._store.fetch(token, lambda answer: self.received(token, answer, sent))

    def _take(self, token: str, fetched: Fetched, sent: float) -> None:
        late = time.monotonic() - sent >= self._lease_s  # we were frozen: by now another worker may have the job
        if late or not self._open:
            self.put_back(token, fetched.job_id)
            return
        self._busy = True
        if self._draining is not None:
            self._draining.cancel()
            self._draining = None
        self._launch(token, fetched, sent)
        if not self._free or not self.wants_more:
            return
        self._streak += 1
        if self._streak == 1:
            self._doorbell.watch(self._marker, self.look)
            return
        self._ask()
        if self._free:
            self._ask()

    def _park(self, limited_ms: int, next_due: float) -> None:
        if not self._open:
            return
        if limited_ms:
            self.rest(min(limited_ms / 1000, LONGEST_REST))
        elif next_due:
            self._wait(next_due)
        elif not self._asking:
            self._doorbell.watch(self._marker, self.look)

    def _wait(self, due: float) -> None:
        self.rest(max(due - time.time() * 1000, 0) / 1000, resting=False)
        self._doorbell.watch(self._marker, self.look)

    def _wake(self) -> None:
        self._timer, self._rest_until = None, 0.0
        self.look()

    def _tell_drained(self) -> None:
        """The queue has been empty for the drain delay."""
        self._draining, self._busy = None, False
        self._bus.emit(ProcessorChanged(self._queue, "drained"))

    def _failed(self, token: str, error: BrokerError) -> None:
        if isinstance(error, BrokerUnavailableError):
            self._lost.doubt(token)
            return
        self._looked = time.monotonic()
        self._bus.emit(Problem(WORKER_ERRORS.BROKER_REFUSED, self._queue, str(error)))
        if error.code == "NOSCRIPT":
            self._free.append(self._successor(token))
            self._reloading = asyncio.create_task(self._reload(), name=f"reload {self._queue}")
        elif isinstance(error, BrokerBusyError):
            self._free.append(self._successor(token))
            self.rest(REFUSED_PAUSE)
        else:  # the script broke off, perhaps after it had taken a job
            self._lost.doubt(token)
            self._loop.call_later(REFUSED_PAUSE, self.recover)

    async def _reload(self) -> None:
        try:
            await self._store.link.load_scripts()
        except BrokerError:
            self.rest(REFUSED_PAUSE)
        else:
            self.look()

    def _was_put_back(self, token: str, answer: Settled | BrokerError) -> None:
        self._asking -= 1
        if isinstance(answer, BrokerUnavailableError):
            self._lost.doubt(token)
        else:
            self.release(token, spent=True)
        if not self._asking:
            self._quiet.set()

    def _found(self, token: str, fetched: Fetched, sent: float, given_away: bool) -> None:
        self._surplus += given_away
        self._take(token, fetched, sent)

    def _free_slot(self, token: str) -> None:
        """A slot is free, unless it is owed to a job whose own was given away: it was found late, or waited."""
        if self._surplus:
            self._surplus -= 1
            self._store.forget(token)
        else:
            self._looked = time.monotonic()
            self._free.append(token)
