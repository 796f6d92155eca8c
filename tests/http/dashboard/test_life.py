"""What the time line of a job says of its attempts."""

from __future__ import annotations

import pytest

from auth_worker.admin.models import JobDetail
from auth_worker.http.dashboard.jobs import life_of

CHAINED = """smtp.SMTPError: (452, 'full')

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "mail.py", line 12, in send
    raise Refused from error
mail.Refused: the mailbox is full"""


@pytest.mark.parametrize(
    ("trace", "said"),
    [
        (CHAINED, "mail.Refused: the mailbox is full"),
        ("Error: no answer\n    at send (mail.js:1:2)", "Error: no answer"),
        (" \n", ""),
    ],
)
def test_an_attempt_failed_with_what_was_raised_last(trace: str, said: str) -> None:
    job = JobDetail(
        id="1", name="n", queue="q", state="wait", timestamp=1_000, attempts_made=1, stacktrace=[trace]
    )
    (attempt,) = [step for step in life_of(job) if step.kind == "failed"]
    assert (attempt.title, attempt.detail) == ("Attempt 1 failed", said)


def test_durations_say_what_they_are_measured_from() -> None:
    job = JobDetail(
        id="1",
        name="n",
        queue="q",
        state="completed",
        timestamp=1_000,
        processed_on=10_000,
        finished_on=10_041,
        ran_ms=41,
        worker="w",
    )
    assert [(step.title, step.took) for step in life_of(job)] == [
        ("Added", ""),
        ("The last attempt started", "9 s after it was added"),
        ("Completed", "the attempt took 41 ms"),
    ]
