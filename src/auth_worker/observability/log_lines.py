"""The log observer: turns events into log lines. A message is a constant; what varies is in the fields.

No event contains job data, so none reaches the log. The text of a consumer's error may hold a secret; ``redact``
masks it. Problems of the same kind are logged at most once a second, with the number of those left out.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from auth_worker.config import WorkerConfig
from auth_worker.core.error_text import type_name
from auth_worker.core.redaction import redact
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
    OutcomeName,
    Problem,
    ProcessorChanged,
    ResourceEnded,
    SchedulersRevived,
    SuspectChanged,
)
from auth_worker.messages import WORKER_ERRORS, WORKER_MESSAGES
from auth_worker.observability.completed_lines import JobLines
from auth_worker.observability.logs import Log, set_queue_level

REPEAT_S = 1.0
"""How often (s) problems of the same kind are logged."""
LONGEST_TRACE = 8_192
MOVES = {
    OutcomeName.DELAYED: WORKER_MESSAGES.JOB_DELAYED,
    OutcomeName.RATE_LIMITED: WORKER_MESSAGES.JOB_RATE_LIMITED,
    OutcomeName.WAITING: WORKER_MESSAGES.JOB_HANDED_BACK,
    OutcomeName.WAITING_CHILDREN: WORKER_MESSAGES.JOB_WAITING_CHILDREN,
}
STATES = {
    "ready": WORKER_MESSAGES.PROCESSOR_READY,
    "paused": WORKER_MESSAGES.PROCESSOR_PAUSED,
    "resumed": WORKER_MESSAGES.PROCESSOR_RESUMED,
    "closed": WORKER_MESSAGES.PROCESSOR_CLOSED,
    "drained": WORKER_MESSAGES.QUEUE_DRAINED,
}


class LogObserver:
    """Logs events to ``log``. Without ``jobs``, completed jobs are not logged."""

    _bus: EventBus

    def __init__(self, log: Log, *, jobs: bool = True) -> None:
        self._log = log
        self._jobs = jobs
        self._loggers: dict[str, Any] = {}
        self._completed = self._completed_at(log)
        self._completed_by_queue: dict[str, Callable[[JobCompleted], None]] = {}
        self._reported: dict[tuple[str, str], float] = {}
        self._left_out: dict[tuple[str, str], int] = {}

    def attach(self, bus: EventBus) -> None:
        """Subscribe to ``bus``."""
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
        bus.subscribe(ResourceEnded, self._resource_ended)
        bus.subscribe(Problem, self._problem)

    def configure_queue(self, queue: str, config: WorkerConfig) -> None:
        """Apply the log level and the sampling of completed jobs that ``config`` sets for ``queue``.

        Only if a queue sets its own does a job cost a look-up. Call it after ``attach``.
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
        """Return a function that logs completed jobs to ``log``: the first one, and then one in ``sample``."""
        more = {"sample": sample} if sample > 1 else {}

        def completed(event: JobCompleted) -> None:
            log.logger.info(
                WORKER_MESSAGES.JOB_COMPLETED, **_job_fields(event), **more, outcome=OutcomeName.COMPLETED
            )

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
            outcome=OutcomeName.RETRIED,
            delay_ms=event.delay_ms,
            error=redact(event.reason),
            **_error_fields(event),
        )

    def _failed(self, event: JobFailed) -> None:
        """Log a failure as an error; a cancellation was asked for, so it is logged as information."""
        log = self._of(event.queue)
        if event.outcome is OutcomeName.CANCELLED:
            write, error = partial(log.info, WORKER_MESSAGES.JOB_CANCELLED), {}
        else:
            write, error = partial(log.error, WORKER_ERRORS.JOB_FAILED), _error_fields(event)
        write(
            **_job_fields(event),
            outcome=event.outcome,
            reason_class=event.reason_class,
            error=redact(event.reason),
            dead_letter=event.dead_letter_id or None,
            **error,
        )

    def _moved(self, event: JobMoved) -> None:
        if event.to is OutcomeName.DROPPED:
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
        self._of(event.queue).warning(WORKER_ERRORS.LEASE_LOST, **_job_fields(event), outcome=OutcomeName.LOST)

    def _recovered(self, event: JobsRecovered) -> None:
        self._of(event.queue).warning(
            WORKER_ERRORS.JOB_STALLED, queue=event.queue, count=len(event.job_ids), job_ids=event.job_ids[:20]
        )

    def _suspect_changed(self, event: SuspectChanged) -> None:
        message = WORKER_MESSAGES.SUSPECT_HELD if event.state == "held" else WORKER_MESSAGES.SUSPECT_RUNS
        self._of(event.queue).warning(message, **event._asdict())

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

    def _resource_ended(self, event: ResourceEnded) -> None:
        self._of(event.queue).error(
            WORKER_ERRORS.RESOURCE_ENDED,
            queue=event.queue,
            resource=redact(event.resource),
            error=redact(event.reason),
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
        if now - self._reported.get(kind, -REPEAT_S) < REPEAT_S:
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return
        self._reported[kind] = now
        self._of(event.queue).error(
            event.message, queue=event.queue, error=redact(event.detail), left_out=self._left_out.pop(kind, 0)
        )


def _error_fields(event: JobRetried | JobFailed) -> dict[str, str]:
    """Return the type of the consumer's exception and the end of its stack trace, masked by ``error_text``."""
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
