"""The dead letter of a run quotes what Redis stores of its job."""

from __future__ import annotations

import base64

import pytest

from auth_worker.brokers.redis.dead_letters import dead_letter_of
from auth_worker.core.dead_letter import MAX_RAW
from auth_worker.core.outcome import Fail, ReasonClass
from support.factories import a_job, a_run


def test_the_dead_letter_of_a_run_holds_every_trace_and_the_payload() -> None:
    job = a_job({"to": "ann"}, attempt=3, opts={"attempts": 3})
    run = a_run(job, stored={b"stacktrace": b'["first"]', b"data": b'{"to": "ann"}'})
    job.data.clear()  # what a consumer makes of its data is not what the letter quotes
    letter = dead_letter_of(
        run, Fail("boom", ReasonClass.EXHAUSTED, "last"), 5, "host-1", queue=run.job.queue_name
    )
    data = letter.data
    assert (data["stacktrace"], data["attemptsMade"], data["data"]) == (["first", "last"], 3, {"to": "ann"})
    assert data["reasonClass"] == "exhausted"
    assert "raw" not in data


@pytest.mark.parametrize("size", [0, 10, MAX_RAW, MAX_RAW + 1])
def test_an_unreadable_payload_is_kept_raw_within_bounds(size: int) -> None:
    raw = {b"name": b"a\xff", b"data": b"\xfe" * size, b"opts": b"null", b"timestamp": b"1"}
    run = a_run(a_job(None, name="a\ufffd"), stored=raw)
    letter = dead_letter_of(
        run, Fail("no", ReasonClass.INVALID_PAYLOAD, ""), 5, "host-1", queue=run.job.queue_name
    )
    kept = {field: base64.b64decode(text) for field, text in letter.data["raw"].items()}
    assert kept == {"name": b"a\xff", "data": b"\xfe" * min(size, MAX_RAW), "opts": b"null"}
    assert letter.data["rawTruncated"] is (size > MAX_RAW)
