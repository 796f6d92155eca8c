"""Settlement: writes a run's outcome, and does not let go until it is written or the lease has ended.

A reply that was lost may belong to a write that was carried out, so after a broken connection the write is sent
again as it was, with the same time; if Redis refuses it then, what it holds tells whether the first one counted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

from auth_worker.broker.link import Link
from auth_worker.broker.replies import Nothing, Settled
from auth_worker.broker.store import Store
from auth_worker.dead_letter import Letter, letter_of
from auth_worker.error_text import error_text
from auth_worker.errors import BrokerError
from auth_worker.events import EventBus, Problem
from auth_worker.intake import Intake
from auth_worker.messages import WORKER_ERRORS
from auth_worker.outcome import (
    AwaitChildren,
    Complete,
    Fail,
    HandBack,
    Lost,
    Outcome,
    ReasonClass,
    Retry,
    Throttle,
    decide_error,
)
from auth_worker.run import Run

CHILDREN_PENDING, CHILDREN_FAILED = -4, -9
NO_CHILDREN_LEFT = 1
RETRY_PAUSE = 0.1


class Reporter(Protocol):
    """Is told how each run ended, once."""

    def settled(self, run: Run, outcome: Outcome, letter: Letter | None) -> None:
        """The outcome is written."""

    def lost(self, run: Run) -> None:
        """Nothing was written: the job is not ours any more."""


class Settlement:
    """Settles the runs of one queue."""

    def __init__(
        self,
        store: Store,
        intake: Intake,
        bus: EventBus,
        reporter: Reporter,
        *,
        worker: str,
        lease_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._intake = intake
        self._bus = bus
        self._reporter = reporter
        self._worker = worker
        self._lease_s = lease_s
        self._clock = clock
        self._insisting: set[asyncio.Task[None]] = set()
        self._stopped = False

    def settle(self, run: Run, outcome: Outcome) -> None:
        """Write ``outcome``; what comes of it is told to the reporter, and the slot goes on."""
        if isinstance(outcome, Lost):
            self._reporter.lost(run)
            self._intake.release(run.token, spent=True)
            return
        try:
            self._write(run, outcome)
        except Exception as error:  # it cannot be put into Redis's words, so nothing was sent
            self._bus.emit(Problem(WORKER_ERRORS.OUTCOME_UNWRITABLE, run.job.queue_name, error_text(error)))
            reason = f"the outcome cannot be written: {type(error).__name__}: {error_text(error)}"
            self._write(run, Fail(reason, ReasonClass.UNRECOVERABLE, reason), readable=False)

    def _write(self, run: Run, outcome: Outcome, *, readable: bool = True) -> None:
        now, sent = round(time.time() * 1000), self._clock()
        letter = None
        if isinstance(outcome, Fail) and self._store.letters is not None:
            letter = letter_of(run, outcome, now, self._worker, readable=readable)
        asks = self._intake.wants_more and _can_ask(outcome)
        replied = partial(self._replied, run, outcome, now, letter, asks, sent)
        self._store.settle(run, outcome, now, letter, asks, replied)
        if asks:
            self._intake.asked()

    async def surrender(self, runs: list[Run], link: Link) -> None:
        """Hand ``runs`` back over another ``link``, in its loop, as ours does not turn any more.

        Raises ``BrokerError``. A run that comes to its end all the same finds its lease lost.
        """
        for run in runs:
            if not run.settling:
                link.send(self._store.hand_back_command(run.job.id, run.token), lambda reply: None)
        await link.execute("PING")  # its reply comes after theirs

    async def stop(self) -> None:
        """Give up insisting; what is not written is found again when its lease has ended."""
        self._stopped = True
        for task in self._insisting:
            task.cancel()
        await asyncio.gather(*self._insisting, return_exceptions=True)

    def _replied(
        self,
        run: Run,
        outcome: Outcome,
        now: int,
        letter: Letter | None,
        asked: bool,
        sent: float,
        reply: Settled | BrokerError,
    ) -> None:
        if isinstance(reply, BrokerError):
            self._insist(run, outcome, now, letter)
            if asked:
                self._intake.received(run.token, reply, sent)
            else:
                self._intake.release(run.token, spent=True)
            return
        if reply.code and (instead := _judge_children(run, outcome, reply.code)) is not None:
            if asked:
                self._intake.received(run.token, None, sent)
            self.settle(run, instead)
            return
        if asked:
            self._intake.received(run.token, reply.next or Nothing(0, 0), sent)
        else:
            self._intake.release(run.token, spent=reply.code < 0)
        if reply.code < 0:
            self._reporter.lost(run)
        else:
            self._reporter.settled(run, outcome, letter)

    def _insist(self, run: Run, outcome: Outcome, now: int, letter: Letter | None) -> None:
        if self._stopped:
            return
        task = asyncio.create_task(self._write_late(run, outcome, now, letter), name=f"settle {run.job.id}")
        self._insisting.add(task)
        task.add_done_callback(self._insisting.discard)

    async def _write_late(self, run: Run, outcome: Outcome, now: int, letter: Letter | None) -> None:
        pause, forgotten = RETRY_PAUSE, True
        while (left := run.renewed + self._lease_s - self._clock()) > 0:
            try:
                await asyncio.wait_for(self._store.link.wait_up(), left)
                if forgotten:
                    await self._store.link.load_scripts()
                if await self._write_again(run, outcome, now, letter):
                    self._reporter.settled(run, outcome, letter)
                else:
                    self._reporter.lost(run)
                return
            except TimeoutError:
                break
            except BrokerError as error:
                forgotten = error.code == "NOSCRIPT"
                self._bus.emit(Problem(WORKER_ERRORS.BROKER_REFUSED, run.job.queue_name, str(error)))
                await asyncio.sleep(min(pause, max(left, 0)))
                pause = min(pause * 2, 1.0)
        self._bus.emit(Problem(WORKER_ERRORS.RESULT_DISCARDED, run.job.queue_name, f"job {run.job.id}"))
        self._reporter.lost(run)

    async def _write_again(self, run: Run, outcome: Outcome, now: int, letter: Letter | None) -> bool:
        """Send the write once more. True if it counts, now or the first time. Raises ``BrokerError``."""
        reply: asyncio.Future[Settled | BrokerError] = asyncio.get_running_loop().create_future()

        def replied(answer: Settled | BrokerError) -> None:
            if not reply.done():
                reply.set_result(answer)

        self._store.settle(run, outcome, now, letter, False, replied)
        answer = await reply
        if isinstance(answer, BrokerError):
            raise answer
        return answer.code >= 0 or await self._store.was_settled(run, outcome, now)


def _can_ask(outcome: Outcome) -> bool:
    """Whether the outcome's script can fetch the next job along."""
    if type(outcome) is Complete:
        return True
    match outcome:
        case HandBack() | Throttle() | AwaitChildren() | Retry(0):
            return False
    return True


def _judge_children(run: Run, outcome: Outcome, code: int) -> Outcome | None:
    """What becomes of a run instead, by what its script says of its children; None where that is nothing.

    Source: finished-errors.ts.
    """
    if code == CHILDREN_FAILED and isinstance(outcome, Complete | AwaitChildren):
        reason = f"Cannot complete job {run.job.id} because it has at least one failed child"
        return Fail(reason, ReasonClass.UNRECOVERABLE, reason)
    if code == CHILDREN_PENDING and isinstance(outcome, Complete):
        return decide_error(RuntimeError(f"Job {run.job.id} has pending dependencies"), run.job, run.options)
    if code == NO_CHILDREN_LEFT and isinstance(outcome, AwaitChildren):
        return HandBack()
    return None
