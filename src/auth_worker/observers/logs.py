"""The log observer: turns events into log lines. A message is a constant; what varies stands in the fields.

Job data is in no event, so it reaches no log. What a consumer's error says may hold a secret: ``redact`` masks
it. A problem of one kind is told once a second at most, with the number left out.
"""

from __future__ import annotations

import itertools
import json.encoder
import logging
import time
from collections.abc import Callable
from typing import Any

from auth_worker.config import WorkerConfig
from auth_worker.error_text import type_name
from auth_worker.events import (
    BrokerChanged,
    DeadLettersReconciled,
    EventBus,
    JobCompleted,
    JobFailed,
    JobLogged,
    JobMoved,
    JobRetried,
    JobsRecovered,
    LeaseLost,
    LoopBlocked,
    OperatorChange,
    Problem,
    ProcessorChanged,
    SchedulersRevived,
    SuspectChanged,
)
from auth_worker.logs import LineSink, Log, set_queue_level
from auth_worker.messages import WORKER_ERRORS, WORKER_MESSAGES
from auth_worker.redaction import redact
from auth_worker.terminal_text import ascii_json

_quote = json.encoder.encode_basestring_ascii
CALM_S = 1.0
LONGEST_TRACE = 8_192
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

    It is the one line written for every job, and its fields are known. ``sample``: it stands for so many.
    """

    def __init__(self, sink: LineSink, sample: int = 1) -> None:
        self._write = sink.write
        self._sample = f'"sample": {sample}, ' if sample > 1 else ""
        self._heads: dict[tuple[str, str], str] = {}
        self._millisecond, self._tail = 0, ""

    def write(self, event: JobCompleted) -> None:
        """Write the line of ``event``."""
        kind = (event.queue, event.job_name)
        head = self._heads.get(kind)
        if head is None:
            if len(self._heads) >= MOST_HEADS:
                self._heads.clear()
            head = f'{{"queue": {ascii_json(kind[0])}, "job_name": {ascii_json(kind[1])}, {self._sample}'
            self._heads[kind] = head
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

    _bus: EventBus

    def __init__(self, log: Log, *, jobs: bool = True) -> None:
        self._log = log
        self._jobs = jobs
        self._loggers: dict[str, Any] = {}
        self._completed = self._completed_at(log)
        self._completed_by_queue: dict[str, Callable[[JobCompleted], None]] = {}
        self._told: dict[tuple[str, str], float] = {}
        self._left_out: dict[tuple[str, str], int] = {}

    def attach(self, bus: EventBus) -> None:
        """Listen to ``bus`` from now on."""
        self._bus = bus
        if self._jobs:
            bus.subscribe(JobCompleted, self._completed)
        bus.subscribe(JobRetried, self._retried)
        bus.subscribe(JobFailed, self._failed)
        bus.subscribe(JobMoved, self._moved)
        bus.subscribe(JobLogged, self._logged)
        bus.subscribe(LeaseLost, self._lease_lost)
        bus.subscribe(JobsRecovered, self._recovered)
        bus.subscribe(SuspectChanged, self._suspect_changed)
        bus.subscribe(ProcessorChanged, self._processor_changed)
        bus.subscribe(BrokerChanged, self._broker_changed)
        bus.subscribe(LoopBlocked, self._loop_blocked)
        bus.subscribe(DeadLettersReconciled, self._reconciled)
        bus.subscribe(SchedulersRevived, self._revived)
        bus.subscribe(OperatorChange, self._operator_change)
        bus.subscribe(Problem, self._problem)

    def treat(self, queue: str, config: WorkerConfig) -> None:
        """Log ``queue`` from the level on, and as many of its completed jobs, as ``config`` says.

        Where no queue has a wish of its own, nothing is looked up for a job. Call it after ``attach``.
        """
        log = self._log
        if config.log_level is not None:
            level = logging.getLevelNamesMapping()[config.log_level]
            log = self._log.at(level)
            self._loggers[queue] = log.logger
            set_queue_level(queue, config.log_level)
        if not self._jobs or (log is self._log and config.log_sample == 1):
            return
        if not self._completed_by_queue:
            self._bus.unsubscribe(JobCompleted, self._completed)
            self._bus.subscribe(JobCompleted, self._completed_of_queue)
        self._completed_by_queue[queue] = self._completed_at(log, config.log_sample)

    def _of(self, queue: str) -> Any:
        return self._loggers.get(queue, self._log.logger)

    def _completed_of_queue(self, event: JobCompleted) -> None:
        self._completed_by_queue.get(event.queue, self._completed)(event)

    def _completed_at(self, log: Log, sample: int = 1) -> Callable[[JobCompleted], None]:
        """What writes the lines of completed jobs to ``log``, the first and then one in ``sample``."""
        more = {"sample": sample} if sample > 1 else {}

        def completed(event: JobCompleted) -> None:
            log.logger.info(WORKER_MESSAGES.JOB_COMPLETED, **_job_fields(event), **more, outcome="completed")

        write = completed if log.lines is None else JobLines(log.lines, sample).write
        if sample == 1:
            return write
        numbers = itertools.count()

        def sampled(event: JobCompleted) -> None:
            if next(numbers) % sample == 0:
                write(event)

        return sampled

    def _retried(self, event: JobRetried) -> None:
        self._of(event.queue).warning(
            WORKER_MESSAGES.JOB_RETRIED,
            **_job_fields(event),
            outcome="retried",
            delay_ms=event.delay_ms,
            error=redact(event.reason),
            **_error_fields(event),
        )

    def _failed(self, event: JobFailed) -> None:
        self._of(event.queue).error(
            WORKER_ERRORS.JOB_FAILED,
            **_job_fields(event),
            outcome="failed",
            reason_class=event.reason_class,
            error=redact(event.reason),
            dead_letter=event.dead_letter_id or None,
            **_error_fields(event),
        )

    def _moved(self, event: JobMoved) -> None:
        if event.to == "dropped":
            self._of(event.queue).error(WORKER_ERRORS.JOB_ORPHANED, queue=event.queue, job_id=event.job_id)
        else:
            self._of(event.queue).info(
                MOVES[event.to], **_job_fields(event), outcome=event.to, detail=redact(event.reason)
            )

    def _logged(self, event: JobLogged) -> None:
        queue, job_id, job_name, attempt, text, trace_id = event
        self._of(queue).info(
            WORKER_MESSAGES.JOB_LOG,
            queue=queue,
            job_id=job_id,
            job_name=job_name,
            attempt=attempt,
            text=redact(text),
            **{"trace_id": trace_id} if trace_id else {},
        )

    def _lease_lost(self, event: LeaseLost) -> None:
        self._of(event.queue).warning(WORKER_ERRORS.LEASE_LOST, **_job_fields(event), outcome="lost")

    def _recovered(self, event: JobsRecovered) -> None:
        self._of(event.queue).warning(
            WORKER_ERRORS.JOB_STALLED, queue=event.queue, count=len(event.job_ids), job_ids=event.job_ids[:20]
        )

    def _suspect_changed(self, event: SuspectChanged) -> None:
        message = WORKER_MESSAGES.SUSPECT_HELD if event.state == "held" else WORKER_MESSAGES.SUSPECT_RUNS
        queue, job_id, job_name, stalls, _ = event
        self._of(queue).warning(message, queue=queue, job_id=job_id, job_name=job_name, stalls=stalls)

    def _processor_changed(self, event: ProcessorChanged) -> None:
        if event.state in STATES:
            self._of(event.queue).info(STATES[event.state], queue=event.queue)

    def _broker_changed(self, event: BrokerChanged) -> None:
        if not event.up:
            self._log.logger.warning(
                WORKER_ERRORS.BROKER_LOST, connection=event.connection, error=redact(event.reason)
            )
        elif event.down_s:
            self._log.logger.info(
                WORKER_MESSAGES.BROKER_RECOVERED, connection=event.connection, down_s=round(event.down_s, 3)
            )

    def _loop_blocked(self, event: LoopBlocked) -> None:
        self._log.logger.error(
            WORKER_ERRORS.CONSUMER_BLOCKS_LOOP, lag_s=round(event.lag_s, 3), running=list(event.job_ids[:20])
        )

    def _reconciled(self, event: DeadLettersReconciled) -> None:
        self._of(event.queue).info(WORKER_MESSAGES.DEAD_LETTERS_RECONCILED, queue=event.queue, added=event.added)

    def _revived(self, event: SchedulersRevived) -> None:
        self._of(event.queue).warning(
            WORKER_MESSAGES.SCHEDULERS_REVIVED,
            queue=event.queue,
            count=len(event.scheduler_ids),
            scheduler_ids=event.scheduler_ids[:20],
        )

    def _operator_change(self, event: OperatorChange) -> None:
        self._log.logger.info(
            WORKER_MESSAGES.OPERATOR_CHANGE,
            who=redact(event.who),
            action=redact(event.action),
            queue=event.queue,
            target=event.target,
            count=event.jobs,
            result=redact(event.ending),
        )

    def _problem(self, event: Problem) -> None:
        kind = (event.message, event.queue)
        now = time.monotonic()
        if now - self._told.get(kind, -CALM_S) < CALM_S:
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return
        self._told[kind] = now
        self._of(event.queue).error(
            event.message, queue=event.queue, error=redact(event.detail), left_out=self._left_out.pop(kind, 0)
        )


def _error_fields(event: JobRetried | JobFailed) -> dict[str, str]:
    """The type of what the consumer raised, and the end of its stack trace, which ``error_text`` has masked."""
    if event.error is None:
        return {}
    return {"error_type": type_name(event.error), "exception": event.stack[-LONGEST_TRACE:]}


def _job_fields(event: Any) -> dict[str, Any]:
    fields = {
        "queue": event.queue,
        "job_id": event.job_id,
        "job_name": event.job_name,
        "attempt": event.attempt,
        "duration_ms": round(event.duration_ms, 3),
    }
    return {**fields, "trace_id": event.trace_id} if event.trace_id else fields
