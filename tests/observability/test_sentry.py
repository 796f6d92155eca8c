"""Failed jobs become Sentry issues: the real SDK, with a transport that records what would be sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from auth_worker import Job, UnrecoverableError
from auth_worker.config import Settings
from auth_worker.events import JobFailed, JobRetried
from auth_worker.observability.sentry import open_sentry
from support.processors import QUEUE, Harness, eventually
from support.telemetry_capture import Traces, trace_of

SECRET = "hunter2-hunter2"


class Kept(Transport):
    """A transport that records the events."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[dict[str, Any]] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        event = envelope.get_event()
        if event is not None:
            self.events.append(json.loads(json.dumps(event)))


@pytest.fixture
def sentry() -> Iterator[Kept]:
    """The application has initialised Sentry, without the integrations that patch the process."""
    kept = Kept()
    sentry_sdk.init("https://key@sentry.invalid/1", transport=kept, default_integrations=False)
    yield kept
    sentry_sdk.get_client().close()
    sentry_sdk.get_global_scope().set_client(None)


async def consumer(job: Job) -> None:
    code = job.data["code"]
    if job.attempt < job.max_attempts:
        raise ConnectionError(f"no route for token={code}")
    try:
        raise KeyError(f"code={code}")
    except KeyError as error:
        raise UnrecoverableError(f"token={code} refused") from error


async def test_a_failed_job_is_one_event_without_its_data(harness: Harness, sentry: Kept) -> None:
    await harness.processor(consumer)
    await harness.jobs.add("welcome", {"code": SECRET}, job_id="one", attempts=2, backoff=1)
    await eventually(lambda: sentry.events)
    (event,) = sentry.events
    cause, error = event["exception"]["values"]
    assert (error["type"], error["value"]) == ("UnrecoverableError", "token=*** refused")
    assert cause["type"] == "KeyError"
    assert error["stacktrace"]["frames"][-1]["function"] == "consumer"
    assert error["mechanism"]["type"] == "auth_worker"
    assert event["level"] == "error"
    assert event["transaction"] == f"process {QUEUE}"
    assert event["fingerprint"] == ["{{ default }}", QUEUE, "welcome"]
    letter = event["tags"].pop("dead_letter")
    assert letter.startswith(f"{QUEUE}@one@")
    assert event["tags"] == {
        "queue": QUEUE,
        "job_name": "welcome",
        "job_id": "one",
        "attempt": "2",
        "reason_class": "unrecoverable",
    }
    assert SECRET not in json.dumps(event)


async def test_attempts_are_warnings_of_the_same_issue_if_asked_for(harness: Harness, sentry: Kept) -> None:
    await harness.processor(consumer, settings={"sentry": "attempts"})
    await harness.jobs.add("welcome", {"code": SECRET}, attempts=2, backoff=1)
    await eventually(lambda: len(sentry.events) == 2)
    first, last = sentry.events
    assert [first["level"], last["level"]] == ["warning", "error"]
    assert first["fingerprint"] == last["fingerprint"]
    assert SECRET not in json.dumps(sentry.events)


async def test_an_event_names_the_trace(harness: Harness, sentry: Kept, traces: Traces) -> None:
    await harness.processor(consumer)
    await harness.jobs.add("welcome", {"code": SECRET}, attempts=1)
    await eventually(lambda: sentry.events)
    (run,) = traces.named(f"process {QUEUE}")
    assert sentry.events[0]["tags"]["trace_id"] == trace_of(run)


def test_a_job_without_an_exception_is_reported_by_its_reason(sentry: Kept) -> None:
    report = open_sentry(Settings())
    assert report is not None
    report(JobFailed("work", "1", "job", 3, 1.0, 0.0, f"data is not JSON: code={SECRET}", "invalid_payload", ""))
    (event,) = sentry.events
    assert event["message"] == "data is not JSON: code=***"
    assert (event["level"], event["fingerprint"]) == ("error", ["work", "invalid_payload"])


def test_a_retried_attempt_without_an_exception_is_reported_too(sentry: Kept) -> None:
    report = open_sentry(Settings(sentry="attempts"))
    assert report is not None
    report(JobRetried("work", "1", "job", 1, 1.0, 0.0, 10, "has pending children"))
    assert (sentry.events[0]["message"], sentry.events[0]["level"]) == ("has pending children", "warning")


def test_sentry_can_be_switched_off(sentry: Kept) -> None:
    assert open_sentry(Settings(sentry="off")) is None


def test_uninitialised_sentry_is_left_alone() -> None:
    assert open_sentry(Settings()) is None
