"""The values that say how a run ended, why it was cancelled, and why a job failed for good.

``decisions`` chooses among them.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, assert_never

from auth_worker.events import OutcomeName, failure_name


class Cause(StrEnum):
    """Why the service cancelled a run."""

    TIMEOUT = "timeout"
    LEASE_LOST = "lease lost"
    SHUTDOWN = "shutdown"
    CANCELLED = "cancelled"
    """A producer or an operator asked for it."""


class ReasonClass(StrEnum):
    """Why a job failed for good, in a word: the ``reasonClass`` of its dead letter."""

    EXHAUSTED = "exhausted"
    UNRECOVERABLE = "unrecoverable"
    STALLED = "stalled"
    INVALID_PAYLOAD = "invalid_payload"
    UNKNOWN_JOB_TYPE = "unknown_job_type"
    CRASHED_WORKER = "crashed_worker"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class Refusal(enum.Enum):
    """Why a broker did not write an outcome."""

    NOT_OURS = enum.auto()
    """The job's lock is lost, or the job does not exist any more."""
    CHILDREN_PENDING = enum.auto()
    CHILDREN_FAILED = enum.auto()
    NO_CHILDREN_LEFT = enum.auto()
    """There is no child to wait for."""


@dataclass(slots=True)
class Complete:
    """The job completed. ``value`` is the result as JSON."""

    value: bytes


class Retry(NamedTuple):
    """The attempt failed. The next one starts in ``delay_ms``."""

    delay_ms: int
    reason: str
    trace: str


class Fail(NamedTuple):
    """The job failed for good, and is dead-lettered if the queue has a dead-letter queue."""

    reason: str
    reason_class: str
    trace: str


class Postpone(NamedTuple):
    """The job runs again in ``delay_ms``, as its consumer asked. No attempt counts."""

    delay_ms: int


class Throttle(NamedTuple):
    """The job returns to the front of the queue, which pauses for ``duration_ms``. No attempt counts."""

    duration_ms: int


class AwaitChildren(NamedTuple):
    """The job runs again once its children have finished. No attempt counts."""


class HandBack(NamedTuple):
    """The job returns to the front of the queue for another worker. Neither an attempt nor a stall counts.

    ``begun``: whether its consumer was called; else the attempt does not count as started either.
    """

    begun: bool = True


class Drop(NamedTuple):
    """The job does not exist, only its id: there is nothing to run and nothing to keep."""

    reason: str


class Lost(NamedTuple):
    """The lease is lost: nothing may be written."""


Outcome = Complete | Retry | Fail | Postpone | Throttle | AwaitChildren | HandBack | Drop | Lost


def name_of(outcome: Outcome) -> OutcomeName:
    """Return the name of ``outcome`` in events, logs, metrics and traces."""
    match outcome:
        case Complete():
            return OutcomeName.COMPLETED
        case Retry():
            return OutcomeName.RETRIED
        case Fail():
            return failure_name(outcome.reason_class)
        case Postpone():
            return OutcomeName.DELAYED
        case Throttle():
            return OutcomeName.RATE_LIMITED
        case AwaitChildren():
            return OutcomeName.WAITING_CHILDREN
        case HandBack():
            return OutcomeName.WAITING
        case Drop():
            return OutcomeName.DROPPED
        case Lost():
            return OutcomeName.LOST
    assert_never(outcome)
