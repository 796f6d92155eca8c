"""Names outcomes for events, logs, metrics and traces: the one table of them."""

from __future__ import annotations

from typing import assert_never

from auth_worker.core.outcome import (
    AwaitChildren,
    Complete,
    Drop,
    Fail,
    HandBack,
    Lost,
    Outcome,
    Postpone,
    Retry,
    Throttle,
)
from auth_worker.events import OutcomeName, failure_name


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
