"""Writes a run's outcome, again and again until it is written or the lease has ended.

A lost reply may belong to a write that was executed. So after a broken connection the same write is sent again,
with the same time. If the broker refuses it then, the stored job shows whether the first one counted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial

from auth_worker.core.clock import now_ms
from auth_worker.core.dead_letter import DeadLetter
from auth_worker.core.decisions import decide_refused, decide_unwritable
from auth_worker.core.error_text import error_text
from auth_worker.core.outcome import (
    Fail,
    Lost,
    Outcome,
    Refusal,
)
from auth_worker.core.ports.worker import Nothing, Settled, WorkerBroker
from auth_worker.core.run import Run
from auth_worker.engine.fetcher import Fetcher
from auth_worker.engine.ledger import Ledger
from auth_worker.errors import BrokerError, BrokerUnpreparedError
from auth_worker.events import EventBus, Problem
from auth_worker.messages import WORKER_ERRORS

RETRY_PAUSE = 0.1


class Settlement:
    """Settles the runs of one queue. ``lease_s`` is the lock duration (s)."""

    def __init__(
        self,
        broker: WorkerBroker,
        fetcher: Fetcher,
        ledger: Ledger,
        bus: EventBus,
        *,
        lease_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._broker = broker
        self._fetcher = fetcher
        self._ledger = ledger
        self._bus = bus
        self._lease_s = lease_s
        self._clock = clock
        self._retries: set[asyncio.Task[None]] = set()
        self._stopped = False

    def settle(self, run: Run, outcome: Outcome) -> None:
        """Write ``outcome``, report the result to the ledger, and free the slot."""
        if isinstance(outcome, Lost):
            self._ledger.lost(run)
            self._fetcher.release(run.token, spent=True)
            return
        try:
            self._write(run, outcome)
        except Exception as error:
            self._write(run, self._give_up_writing(run, error), readable=False)

    def _write(self, run: Run, outcome: Outcome, *, readable: bool = True) -> None:
        now, sent = now_ms(), self._clock()
        dead_letter: DeadLetter | None = None
        if isinstance(outcome, Fail):
            dead_letter = self._broker.dead_letter_of(run, outcome, now, readable=readable)
        fetch_next = self._fetcher.wants_more and self._broker.can_fetch_after(run, outcome)
        replied = partial(self._replied, run, outcome, now, dead_letter, fetch_next, sent)
        self._broker.settle(run, outcome, now, dead_letter, fetch_next, replied)
        if fetch_next:
            self._fetcher.count_fetch()

    async def stop(self) -> None:
        """Stop retrying. The stalled check finds what is not written once its lease has expired."""
        self._stopped = True
        for task in self._retries:
            task.cancel()
        await asyncio.gather(*self._retries, return_exceptions=True)

    def _replied(
        self,
        run: Run,
        outcome: Outcome,
        now: int,
        dead_letter: DeadLetter | None,
        fetched_next: bool,
        sent: float,
        reply: Settled | BrokerError,
    ) -> None:
        if isinstance(reply, BrokerError):
            self._retry(run, outcome, now, dead_letter)
            if fetched_next:
                self._fetcher.received(run.token, reply, sent)
            else:
                self._fetcher.release(run.token, spent=True)
            return
        refusal = reply.refusal
        if refusal and (instead := decide_refused(outcome, refusal, run.job, run.policy)) is not None:
            if fetched_next:
                self._fetcher.received(run.token, None, sent)
            self.settle(run, instead)
            return
        if fetched_next:
            self._fetcher.received(run.token, reply.next or Nothing(0, 0), sent)
        else:
            self._fetcher.release(run.token, spent=refusal is not None)
        if refusal is None:
            self._ledger.settled(run, outcome, dead_letter)
        else:
            self._ledger.lost(run)

    def _retry(self, run: Run, outcome: Outcome, now: int, dead_letter: DeadLetter | None) -> None:
        if self._stopped:
            return
        task = asyncio.create_task(
            self._write_until_settled(run, outcome, now, dead_letter), name=f"settle {run.job.id}"
        )
        self._retries.add(task)
        task.add_done_callback(self._retries.discard)

    async def _write_until_settled(
        self, run: Run, outcome: Outcome, now: int, dead_letter: DeadLetter | None
    ) -> None:
        pause, unprepared = RETRY_PAUSE, True
        while (left := run.renewed + self._lease_s - self._clock()) > 0:
            try:
                await asyncio.wait_for(self._broker.wait_up(run.job), left)
                if unprepared:
                    await self._broker.prepare()
                refusal = await self._write_again(run, outcome, now, dead_letter)
            except TimeoutError:
                break
            except BrokerError as error:
                unprepared = isinstance(error, BrokerUnpreparedError)
                self._bus.emit(
                    Problem(WORKER_ERRORS.BROKER_REFUSED, run.job.queue_name, error_text(error), error.code)
                )
                await asyncio.sleep(min(pause, max(left, 0)))
                pause = min(pause * 2, 1.0)
                continue
            if refusal is None:
                self._ledger.settled(run, outcome, dead_letter)
                return
            instead = decide_refused(outcome, refusal, run.job, run.policy)
            if instead is None:
                self._ledger.lost(run)
                return
            now, unprepared = now_ms(), False
            outcome, dead_letter = self._with_dead_letter(run, instead, now)
        self._bus.emit(Problem(WORKER_ERRORS.RESULT_DISCARDED, run.job.queue_name, f"job {run.job.id}"))
        self._ledger.lost(run)

    def _with_dead_letter(self, run: Run, outcome: Outcome, now: int) -> tuple[Outcome, DeadLetter | None]:
        """Return ``outcome`` and its dead letter, if any; if that cannot be built, another failure and its own."""
        if not isinstance(outcome, Fail):
            return outcome, None
        try:
            return outcome, self._broker.dead_letter_of(run, outcome, now, readable=True)
        except Exception as error:
            instead = self._give_up_writing(run, error)
            return instead, self._broker.dead_letter_of(run, instead, now, readable=False)

    def _give_up_writing(self, run: Run, error: Exception) -> Fail:
        """Report that the broker cannot express an outcome. Nothing was sent. Returns what is written instead."""
        self._bus.emit(Problem(WORKER_ERRORS.OUTCOME_UNWRITABLE, run.job.queue_name, error_text(error)))
        return decide_unwritable(error)

    async def _write_again(
        self, run: Run, outcome: Outcome, now: int, dead_letter: DeadLetter | None
    ) -> Refusal | None:
        """Send the write once more. Returns None if it counts, now or the first time. Raises ``BrokerError``."""
        reply: asyncio.Future[Settled | BrokerError] = asyncio.get_running_loop().create_future()

        def replied(answer: Settled | BrokerError) -> None:
            if not reply.done():
                reply.set_result(answer)

        self._broker.settle(run, outcome, now, dead_letter, False, replied)
        answer = await reply
        if isinstance(answer, BrokerError):
            raise answer
        if answer.refusal is None or await self._broker.was_settled(run, outcome, now):
            return None
        return answer.refusal
