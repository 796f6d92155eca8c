"""What becomes of jobs that are not to run, of runs that have not begun, and of outcomes that are refused."""

from __future__ import annotations

import pytest

from auth_worker.core.decisions import (
    class_of_failure,
    decide_abandoned,
    decide_cancelled,
    decide_deferred_failure,
    decide_not_begun,
    decide_refused,
    decide_unreadable,
    why_not_begin,
)
from auth_worker.core.outcome import (
    AwaitChildren,
    Cause,
    Complete,
    Drop,
    Fail,
    HandBack,
    Lost,
    Outcome,
    ReasonClass,
    Refusal,
    Retry,
)
from auth_worker.core.run import Phase
from support.factories import a_job, a_run, some_options

BACK = HandBack(begun=False)


@pytest.mark.parametrize(
    ("why", "reason_class"),
    [
        ("job stalled more than allowable limit", ReasonClass.STALLED),
        ("job was cancelled: wrong list", ReasonClass.CANCELLED),
        ("child bull:q:1 failed", ReasonClass.UNRECOVERABLE),
    ],
)
def test_a_deferred_failure_fails_the_job_with_its_reason(why: str, reason_class: ReasonClass) -> None:
    assert decide_deferred_failure(why) == Fail(why, reason_class, why)


def test_a_run_that_is_cancelled_before_it_begins_fails_at_once() -> None:
    why = "job was cancelled: wrong list"
    assert decide_not_begun(Cause.CANCELLED, "wrong list") == Fail(why, ReasonClass.CANCELLED, why)


def test_what_cannot_be_decoded_is_an_invalid_payload_and_an_orphan_is_dropped() -> None:
    assert decide_unreadable("bad", is_orphan=False) == Fail("bad", ReasonClass.INVALID_PAYLOAD, "bad")
    assert isinstance(decide_unreadable("bad", is_orphan=True), Drop)


@pytest.mark.parametrize(
    ("cause", "outcome"),
    [(None, BACK), (Cause.SHUTDOWN, BACK), (Cause.TIMEOUT, BACK), (Cause.LEASE_LOST, Lost())],
)
def test_a_run_that_has_not_begun_costs_no_attempt(cause: Cause | None, outcome: Outcome) -> None:
    assert decide_not_begun(cause) == outcome


@pytest.mark.parametrize(
    ("cause", "lease_holds", "paused", "why"),
    [
        (None, True, False, None),
        (None, True, True, Cause.SHUTDOWN),
        (None, False, True, Cause.LEASE_LOST),
        (Cause.TIMEOUT, True, False, Cause.SHUTDOWN),
        (Cause.LEASE_LOST, True, True, Cause.LEASE_LOST),
    ],
)
def test_an_iteration_begins_unless_it_was_cancelled_lost_or_paused_meanwhile(
    cause: Cause | None, lease_holds: bool, paused: bool, why: Cause | None
) -> None:
    assert why_not_begin(cause, lease_holds=lease_holds, paused=paused) is why


@pytest.mark.parametrize(
    ("outcome", "refusal", "instead"),
    [
        (Complete(b"1"), Refusal.NOT_OURS, None),
        (Complete(b"1"), Refusal.CHILDREN_FAILED, Fail),
        (AwaitChildren(), Refusal.CHILDREN_FAILED, Fail),
        (Complete(b"1"), Refusal.CHILDREN_PENDING, Retry),
        (AwaitChildren(), Refusal.NO_CHILDREN_LEFT, HandBack),
        (AwaitChildren(), Refusal.CHILDREN_PENDING, None),
        (Fail("a", ReasonClass.EXHAUSTED, "b"), Refusal.CHILDREN_FAILED, None),
        (HandBack(), Refusal.NO_CHILDREN_LEFT, None),
    ],
)
def test_what_its_children_refuse_to_a_job_decides_what_becomes_of_it(
    outcome: Outcome, refusal: Refusal, instead: type | None
) -> None:
    decided = decide_refused(outcome, refusal, a_job(), some_options({"attempts": 2}))
    assert type(decided) is (instead or type(None))


@pytest.mark.parametrize(
    ("cause", "returned", "becomes"),
    [
        (Cause.SHUTDOWN, Complete(b"1"), Complete),
        (Cause.LEASE_LOST, Complete(b"1"), Lost),
        (Cause.TIMEOUT, Complete(b"1"), Retry),
        (Cause.CANCELLED, Complete(b"1"), Fail),
        (Cause.TIMEOUT, Fail("no JSON", ReasonClass.UNRECOVERABLE, ""), Fail),
    ],
)
def test_the_result_of_a_cancelled_run_counts_only_in_a_shutdown(
    cause: Cause, returned: Outcome, becomes: type
) -> None:
    run = a_run(options=some_options({"attempts": 2}))
    run.cause = cause
    outcome, error = decide_cancelled(run, returned)
    assert type(outcome) is becomes
    assert (error is not None) == (isinstance(returned, Complete) and becomes in (Retry, Fail))


@pytest.mark.parametrize(("phase", "begun"), [(Phase.FETCHED, False), (Phase.RUNNING, True)])
def test_an_abandoned_run_counts_as_started_once_its_consumer_was_called(phase: Phase, begun: bool) -> None:
    run = a_run()
    run.phase = phase
    assert decide_abandoned(run) == HandBack(begun)


@pytest.mark.parametrize(
    ("reason", "exhausted", "reason_class"),
    [
        ("job stalled more than allowable limit", True, ReasonClass.STALLED),
        ("job was cancelled", True, ReasonClass.CANCELLED),
        ("boom", True, ReasonClass.EXHAUSTED),
        ("boom", False, ReasonClass.UNRECOVERABLE),
    ],
)
def test_a_failure_elsewhere_is_classified_by_its_reason_and_its_attempts(
    reason: str, exhausted: bool, reason_class: ReasonClass
) -> None:
    assert class_of_failure(reason, exhausted=exhausted) is reason_class
