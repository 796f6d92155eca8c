"""The log observer: turns events into log lines. A message is a constant; what varies stands in the fields.

Job data is in no event, so it reaches no log. What a consumer's error says may hold a secret: ``redact`` masks
it. A problem of one kind is told once a second at most, with the number left out.
"""

from __future__ import annotations

import json
import time
from typing import Any

from auth_worker.events import (
    BrokerChanged,
    DeadLettersReconciled,
    EventBus,
    JobCompleted,
    JobFailed,
    JobMoved,
    JobRetried,
    JobsRecovered,
    LeaseLost,
    LoopBlocked,
    Problem,
    ProcessorChanged,
)
from auth_worker.logs import LineSink, Log
from auth_worker.messages import WORKER_ERRORS, WORKER_MESSAGES
from auth_worker.redaction import redact

_quote = json.encoder.encode_basestring_ascii
CALM_S = 1.0
MOST_HEADS = 1000
MOVES = {
    "delayed": WORKER_MESSAGES.JOB_DELAYED,
    "rate-limited": WORKER_MESSAGES.JOB_RATE_LIMITED,
    "waiting": WORKER_MESSAGES.JOB_HANDED_BACK,
    "waiting-children": WORKER_MESSAGES.JOB_WAITING_CHILDREN,
}
STATES = {
    "ready": WORKER_MESSAGES.PROCESSOR_READY,
    "paused": WORKER_MESSAGES.PROCESSOR_PAUSED,
    "resumed": WORKER_MESSAGES.PROCESSOR_RESUMED,
    "closed": WORKER_MESSAGES.PROCESSOR_CLOSED,
    "drained": WORKER_MESSAGES.QUEUE_DRAINED,
}


class JobLines:
    """The line of a completed job, made without structlog: the same JSON at a tenth of the cost.

    It is the one line written for every job, and its fields are known.
    """

    def __init__(self, sink: LineSink) -> None:
        self._write = sink.write
        self._heads: dict[tuple[str, str], str] = {}
        self._millisecond, self._tail = 0, ""

    def write(self, event: JobCompleted) -> None:
        """Write the line of ``event``."""
        kind = (event.queue, event.job_name)
        head = self._heads.get(kind)
        if head is None:
            if len(self._heads) >= MOST_HEADS:
                self._heads.clear()
            head = self._heads[kind] = f'{{"queue": {json.dumps(kind[0])}, "job_name": {json.dumps(kind[1])}, '
        now = int(time.time() * 1000)
        if now != self._millisecond:
            self._millisecond, self._tail = now, _tail(now)
        trace = f', "trace_id": "{event.trace_id}"' if event.trace_id else ""
        self._write(
            f'{head}"job_id": {_quote(event.job_id)}, "attempt": {event.attempt}, '
            f'"duration_ms": {event.duration_ms:.3f}{trace}{self._tail}'
        )


def _tail(now: int) -> str:
    """The end of the line, the same for all jobs of a millisecond."""
    second, millisecond = divmod(now, 1000)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
    return (
        f', "outcome": "completed", "event": "{WORKER_MESSAGES.JOB_COMPLETED}", "level": "info", '
        f'"timestamp": "{stamp}.{millisecond:03d}000Z"}}\n'
    )


class LogObserver:
    """Writes to the logger of ``log``. Without ``jobs``, completed jobs are not logged, each for itself."""

    def __init__(self, log: Log, *, jobs: bool = True) -> None:
        self._log = log.logger
        self._lines = JobLines(log.lines) if log.lines is not None else None
        self._jobs = jobs
        self._told: dict[tuple[str, str], float] = {}
        self._left_out: dict[tuple[str, str], int] = {}

    def attach(self, bus: EventBus) -> None:
        """Listen to ``bus`` from now on."""
        if self._jobs:
            bus.subscribe(JobCompleted, self._lines.write if self._lines else self._completed)
        bus.subscribe(JobRetried, self._retried)
        bus.subscribe(JobFailed, self._failed)
        bus.subscribe(JobMoved, self._moved)
        bus.subscribe(LeaseLost, self._lease_lost)
        bus.subscribe(JobsRecovered, self._recovered)
        bus.subscribe(ProcessorChanged, self._processor_changed)
        bus.subscribe(BrokerChanged, self._broker_changed)
        bus.subscribe(LoopBlocked, self._loop_blocked)
        bus.subscribe(DeadLettersReconciled, self._reconciled)
        bus.subscribe(Problem, self._problem)

    def _completed(self, event: JobCompleted) -> None:
        self._log.info(WORKER_MESSAGES.JOB_COMPLETED, **_job_fields(event), outcome="completed")

    def _retried(self, event: JobRetried) -> None:
        self._log.warning(
            WORKER_MESSAGES.JOB_RETRIED,
            **_job_fields(event),
            outcome="retried",
            delay_ms=event.delay_ms,
            error=redact(event.reason),
        )

    def _failed(self, event: JobFailed) -> None:
        self._log.error(
            WORKER_ERRORS.JOB_FAILED,
            **_job_fields(event),
            outcome="failed",
            reason_class=event.reason_class,
            error=redact(event.reason),
            dead_letter=event.dead_letter_id or None,
        )

    def _moved(self, event: JobMoved) -> None:
        if event.to == "dropped":
            self._log.error(WORKER_ERRORS.JOB_ORPHANED, queue=event.queue, job_id=event.job_id)
        else:
            self._log.info(MOVES[event.to], **_job_fields(event), outcome=event.to, detail=event.reason)

    def _lease_lost(self, event: LeaseLost) -> None:
        self._log.warning(WORKER_ERRORS.LEASE_LOST, **_job_fields(event), outcome="lost")

    def _recovered(self, event: JobsRecovered) -> None:
        self._log.warning(
            WORKER_ERRORS.JOB_STALLED, queue=event.queue, count=len(event.job_ids), job_ids=event.job_ids[:20]
        )

    def _processor_changed(self, event: ProcessorChanged) -> None:
        if event.state in STATES:
            self._log.info(STATES[event.state], queue=event.queue)

    def _broker_changed(self, event: BrokerChanged) -> None:
        if not event.up:
            self._log.warning(WORKER_ERRORS.BROKER_LOST, connection=event.connection, error=event.reason)
        elif event.down_s:
            self._log.info(
                WORKER_MESSAGES.BROKER_RECOVERED, connection=event.connection, down_s=round(event.down_s, 3)
            )

    def _loop_blocked(self, event: LoopBlocked) -> None:
        self._log.error(
            WORKER_ERRORS.CONSUMER_BLOCKS_LOOP, lag_s=round(event.lag_s, 3), running=list(event.job_ids[:20])
        )

    def _reconciled(self, event: DeadLettersReconciled) -> None:
        self._log.info(WORKER_MESSAGES.DEAD_LETTERS_RECONCILED, queue=event.queue, added=event.added)

    def _problem(self, event: Problem) -> None:
        kind = (event.message, event.queue)
        now = time.monotonic()
        if now - self._told.get(kind, -CALM_S) < CALM_S:
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return
        self._told[kind] = now
        self._log.error(
            event.message, queue=event.queue, error=redact(event.detail), left_out=self._left_out.pop(kind, 0)
        )


def _job_fields(event: Any) -> dict[str, Any]:
    fields = {
        "queue": event.queue,
        "job_id": event.job_id,
        "job_name": event.job_name,
        "attempt": event.attempt,
        "duration_ms": round(event.duration_ms, 3),
    }
    return {**fields, "trace_id": event.trace_id} if event.trace_id else fields
