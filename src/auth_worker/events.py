"""Event types, and a bus whose ``emit`` cannot raise.

Events are hints for people and dashboards; Redis is the truth. Nothing that must be right depends on an event.
They are named tuples because one or two are created per job, and a named tuple costs a third of a frozen
dataclass. ``trace_id`` is that of the run's span in hexadecimal, empty without telemetry. ``error`` is what the
consumer raised, for an exception group the member that decides; None if it raised nothing. Its traceback keeps the
consumer's local variables alive, so do not hold on to it. ``stack`` is its stack trace, with values masked as in
``reason``; ``str(error)`` is not masked.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable
from enum import StrEnum
from typing import Any, NamedTuple, TypeVar

from auth_worker.messages import WORKER_ERRORS


class OutcomeName(StrEnum):
    """How a run ended, as events, logs, metrics and traces name it."""

    COMPLETED = "completed"
    RETRIED = "retried"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DELAYED = "delayed"
    RATE_LIMITED = "rate-limited"
    WAITING = "waiting"
    WAITING_CHILDREN = "waiting-children"
    DROPPED = "dropped"
    LOST = "lost"


class JobStarted(NamedTuple):
    """A run started. ``wait_ms`` is the time between when the job could have run and when it did."""

    queue: str
    job_id: str
    job_name: str
    attempt: int
    wait_ms: float


class JobCompleted(NamedTuple):
    """A job completed, and its result is stored."""

    queue: str
    job_id: str
    job_name: str
    attempt: int
    duration_ms: float
    wait_ms: float
    trace_id: str = ""


class JobRetried(NamedTuple):
    """An attempt failed. The job runs again after ``delay_ms``."""

    queue: str
    job_id: str
    job_name: str
    attempt: int
    duration_ms: float
    wait_ms: float
    delay_ms: int
    reason: str
    trace_id: str = ""
    error: BaseException | None = None
    stack: str = ""


class JobFailed(NamedTuple):
    """A job failed for good. ``dead_letter_id`` is empty if the queue has no dead-letter queue."""

    queue: str
    job_id: str
    job_name: str
    attempt: int
    duration_ms: float
    wait_ms: float
    reason: str
    reason_class: str
    dead_letter_id: str
    trace_id: str = ""
    error: BaseException | None = None
    stack: str = ""

    @property
    def outcome(self) -> OutcomeName:
        """``failed`` or ``cancelled``."""
        return failure_name(self.reason_class)


def failure_name(reason_class: str) -> OutcomeName:
    """Return how a job that failed for good ended: ``failed``, or ``cancelled`` if somebody asked for it."""
    return OutcomeName.CANCELLED if reason_class == "cancelled" else OutcomeName.FAILED


class JobMoved(NamedTuple):
    """A job was moved and no attempt counted.

    ``to`` is delayed, rate-limited, waiting, waiting-children or dropped. ``reason`` says more.
    """

    queue: str
    job_id: str
    job_name: str
    attempt: int
    duration_ms: float
    to: OutcomeName
    reason: str
    trace_id: str = ""


class JobLogged(NamedTuple):
    """A consumer wrote ``text`` to its job's log."""

    queue: str
    job_id: str
    job_name: str
    attempt: int
    text: str
    trace_id: str = ""


class LeaseLost(NamedTuple):
    """A job's lock was lost. The run was cancelled, and nothing was written."""

    queue: str
    job_id: str
    job_name: str
    attempt: int
    duration_ms: float
    trace_id: str = ""


class SuspectChanged(NamedTuple):
    """The state of a job changed that was recovered from a dead worker after so many ``stalls``.

    ``state`` is ``held`` until the job can run alone; then it runs ``alone``, or after a long wait ``beside
    others``.
    """

    queue: str
    job_id: str
    job_name: str
    stalls: int
    state: str


class JobsRecovered(NamedTuple):
    """The stalled check moved jobs of lost workers back to wait."""

    queue: str
    job_ids: tuple[str, ...]


class ProcessorChanged(NamedTuple):
    """A processor's state: ready, paused, resumed, draining or closed; ``drained`` if its queue became empty."""

    queue: str
    state: str


class BrokerChanged(NamedTuple):
    """A connection to Redis came up (``up``) or broke. ``reason`` says why."""

    connection: str
    up: bool
    reason: str
    down_s: float


class LoopBlocked(NamedTuple):
    """The work loop was blocked for ``lag_s``, while ``job_ids`` were running on it."""

    lag_s: float
    job_ids: tuple[str, ...]


class DeadLettersReconciled(NamedTuple):
    """``added`` dead letters were created for jobs that failed elsewhere."""

    queue: str
    added: int


class SchedulersRevived(NamedTuple):
    """Job schedulers that had lost their next iteration have one again."""

    queue: str
    scheduler_ids: tuple[str, ...]


class ResourceEnded(NamedTuple):
    """A resource of the queue's tasks ended before its worker did, since what runs in it failed."""

    queue: str
    resource: str
    reason: str


class OperatorChange(NamedTuple):
    """An operator, ``who`` (the name of a token), applied ``action`` to a number of ``jobs``.

    ``ending`` is done, or how a bulk operation ended early: stopped or failed.
    """

    who: str
    action: str
    queue: str
    target: str
    jobs: int
    ending: str


class Problem(NamedTuple):
    """The service met an error and handled it. ``message`` is one of ``WORKER_ERRORS``.

    ``code`` is the broker's error code where the broker refused a command, as ``OOM``.
    """

    message: str
    queue: str
    detail: str
    code: str = ""


E = TypeVar("E")
Listener = Callable[[Any], None]


class EventBus:
    """Passes each event to its listeners, in the caller's thread. An exception of a listener is only logged."""

    def __init__(self) -> None:
        self._listeners: defaultdict[type, list[Listener]] = defaultdict(list)

    def subscribe(self, event_type: type[E], listener: Callable[[E], None]) -> None:
        """Call ``listener`` with each further event of ``event_type``. It must not block."""
        self._listeners[event_type].append(listener)

    def unsubscribe(self, event_type: type[E], listener: Callable[[E], None]) -> None:
        """Stop calling ``listener``. Raises ``ValueError`` if it is not subscribed."""
        self._listeners[event_type].remove(listener)

    def wants(self, event_type: type) -> bool:
        """Whether anybody listens to ``event_type``. If not, the event need not be created."""
        return bool(self._listeners.get(event_type))

    def emit(self, event: Any) -> None:
        """Call every listener. Never raises."""
        for listener in self._listeners.get(type(event), ()):
            try:
                listener(event)
            except BaseException:  # also SystemExit: an observer must not end the worker
                logging.getLogger(__name__).exception(WORKER_ERRORS.OBSERVER_FAILED)
