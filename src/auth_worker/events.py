"""What happened: frozen event types, and a bus whose ``emit`` cannot raise.

Events are hints for people and dashboards; Redis is the truth. Nothing that must be right hangs on an event.
They are named tuples because one or two are made for every job: a named tuple costs a third of a frozen
dataclass. ``trace_id`` is that of the run's span in hexadecimal, empty without telemetry. ``error`` is what the
consumer raised, of an exception group the member that decides; None where it raised nothing. Its traceback holds
what the consumer had in hand, so let go of it soon.
``stack`` is its stack trace, with values masked as in ``reason``; ``str(error)`` is not masked.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from auth_worker.messages import WORKER_ERRORS


class JobStarted(NamedTuple):
    """A run began. ``wait_ms``: from when the job could have run until it did."""

    queue: str
    job_id: str
    job_name: str
    attempt: int
    wait_ms: float


class JobCompleted(NamedTuple):
    """The job's result is written."""

    queue: str
    job_id: str
    job_name: str
    attempt: int
    duration_ms: float
    wait_ms: float
    trace_id: str = ""


class JobRetried(NamedTuple):
    """The attempt failed; the job runs again after ``delay_ms``."""

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
    """The job failed for good. ``dead_letter_id`` is empty where the queue has no dead-letter queue."""

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


class JobMoved(NamedTuple):
    """The job left, no attempt counted; ``to``: delayed, rate-limited, waiting, waiting-children or dropped."""

    queue: str
    job_id: str
    job_name: str
    attempt: int
    duration_ms: float
    to: str
    reason: str
    trace_id: str = ""


class JobLogged(NamedTuple):
    """A consumer wrote ``text`` into its job's log."""

    queue: str
    job_id: str
    job_name: str
    attempt: int
    text: str
    trace_id: str = ""


class LeaseLost(NamedTuple):
    """The job's lock is not ours any more; the run was cancelled, nothing was written."""

    queue: str
    job_id: str
    job_name: str
    attempt: int
    duration_ms: float
    trace_id: str = ""


class SuspectChanged(NamedTuple):
    """A job recovered from a dead worker is held until it can run alone, or running, after so many ``stalls``."""

    queue: str
    job_id: str
    job_name: str
    stalls: int
    state: str


class JobsRecovered(NamedTuple):
    """The stalled check put jobs of lost workers back to wait."""

    queue: str
    job_ids: tuple[str, ...]


class ProcessorChanged(NamedTuple):
    """A processor's state: ready, paused, resumed, draining or closed; drained: its queue has become empty."""

    queue: str
    state: str


class BrokerChanged(NamedTuple):
    """A connection to Redis came up (``up``) or broke; ``reason`` says why."""

    connection: str
    up: bool
    reason: str
    down_s: float


class LoopBlocked(NamedTuple):
    """The work loop did not turn for ``lag_s``; ``job_ids`` were running on it."""

    lag_s: float
    job_ids: tuple[str, ...]


class DeadLettersReconciled(NamedTuple):
    """``added`` dead letters were made for jobs that failed elsewhere."""

    queue: str
    added: int


class SchedulersRevived(NamedTuple):
    """These job schedulers had no next iteration any more; they have one again."""

    queue: str
    scheduler_ids: tuple[str, ...]


class OperatorChange(NamedTuple):
    """``who`` (the name of a token) has done ``action`` to so many ``jobs``.

    ``ending``: done, or after so many stopped or failed.
    """

    who: str
    action: str
    queue: str
    target: str
    jobs: int
    ending: str


class Problem(NamedTuple):
    """Something of ours went wrong and is handled; ``message`` is one of ``WORKER_ERRORS``."""

    message: str
    queue: str
    detail: str


E = TypeVar("E")
Listener = Callable[[Any], None]


class EventBus:
    """Hands each event to its listeners, in the caller's thread; a listener that raises is logged, no more."""

    def __init__(self) -> None:
        self._listeners: defaultdict[type, list[Listener]] = defaultdict(list)

    def subscribe(self, event_type: type[E], listener: Callable[[E], None]) -> None:
        """Call ``listener`` with each event of ``event_type`` from now on. It must not block."""
        self._listeners[event_type].append(listener)

    def unsubscribe(self, event_type: type[E], listener: Callable[[E], None]) -> None:
        """Call ``listener`` no more. Raises ``ValueError`` if it does not listen."""
        self._listeners[event_type].remove(listener)

    def wants(self, event_type: type) -> bool:
        """Whether anybody listens, so that an event nobody wants need not be made."""
        return bool(self._listeners.get(event_type))

    def emit(self, event: Any) -> None:
        """Tell every listener. Never raises."""
        for listener in self._listeners.get(type(event), ()):
            try:
                listener(event)
            except BaseException:  # also SystemExit: an observer cannot end the worker
                logging.getLogger(__name__).exception(WORKER_ERRORS.OBSERVER_FAILED)
