"""The dead-letter record: its id names one death, its data says all that is known of it."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from auth_worker.dead_letter import (
    MAX_ID,
    MAX_RAW,
    Letter,
    check_letter,
    letter_id,
    letter_of,
    make_letter,
    queue_of,
)
from auth_worker.errors import ConfigurationError
from auth_worker.outcome import Fail, ReasonClass
from factories import a_job, a_run

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80)
deaths = st.tuples(names, names, st.integers(0, 2**53))


def some_letter(**changes: Any) -> Letter:
    values: dict[str, Any] = {
        "queue": "work",
        "job_id": "7",
        "name": "send",
        "data": {"to": "ann"},
        "opts": {"attempts": 3},
        "reason": "boom",
        "reason_class": "exhausted",
        "traces": ["first", "second"],
        "attempts_made": 3,
        "finished_on": 1700000000000,
        "worker": "host-1",
    }
    return make_letter(**{**values, **changes})


def as_json(letter: Letter) -> dict[str, Any]:
    """A letter's data as another worker reads it."""
    data: dict[str, Any] = json.loads(json.dumps(letter.data))
    return data


@given(first=deaths, second=deaths)
@example(first=("a.b", "c", 1), second=("a", "b.c", 1))
@example(first=("a", "b@c", 1), second=("a@b", "c", 1))
@example(first=("a", ".", 1), second=("a", "2e", 1))
@example(first=("a", "é", 1), second=("a", ".c3a9", 1))
@example(first=("q" * 80 + "1", "j" * 80, 1), second=("q" * 80 + "2", "j" * 80, 1))
@example(first=("q", "j" * 200 + "1", 1), second=("q", "j" * 200 + "2", 1))
def test_two_deaths_have_the_same_id_only_if_they_are_the_same(
    first: tuple[str, str, int], second: tuple[str, str, int]
) -> None:
    assert (letter_id(*first) == letter_id(*second)) == (first == second)


@given(queue=names, job_id=st.binary(max_size=300), finished_on=st.integers(0, 2**53))
def test_an_id_is_one_that_bullmq_and_redis_keys_take(queue: str, job_id: bytes, finished_on: int) -> None:
    name = letter_id(queue, job_id.decode(errors="surrogateescape"), finished_on)
    assert re.fullmatch(r"[A-Za-z0-9._@-]+", name)
    assert len(name) <= MAX_ID
    assert not name.isdigit()
    assert name.endswith(f"@{finished_on}")


@pytest.mark.parametrize("queue", ["q" * 200, "а-очередь-писем" * 4, "注文" * 40, "a@b/c#d" * 12])
def test_an_id_names_the_queue_whole_however_long(queue: str) -> None:
    assert letter_id(queue, "7", 1).partition("@")[0] == letter_id(queue, "j" * 300, 1).partition("@")[0]
    assert queue_of(letter_id(queue, "7", 1)) == queue


def test_an_id_is_the_same_in_every_process_and_version() -> None:
    assert letter_id("emailQueue", "order-17", 1700000000000) == "emailQueue@order-17@1700000000000"
    assert letter_id("my queue", "a.b:c", 5) == "my.20queue@a.2eb.3ac@5"


def test_a_letter_says_everything_a_node_consumer_needs() -> None:
    letter = some_letter(opts={"attempts": 3, "telemetryMetadata": "trace-1"})
    assert letter.id == "work@7@1700000000000"
    assert (letter.name, letter.timestamp) == ("send", 1700000000000)
    assert as_json(letter) == {
        "originalQueue": "work",
        "originalJobId": "7",
        "name": "send",
        "data": {"to": "ann"},
        "opts": {"attempts": 3, "telemetryMetadata": "trace-1"},
        "failedReason": "boom",
        "reasonClass": "exhausted",
        "stacktrace": ["first", "second"],
        "attemptsMade": 3,
        "failedAt": 1700000000000,
        "worker": "host-1",
        "traceContext": "trace-1",
    }


def test_a_runs_letter_carries_every_trace_and_the_payload() -> None:
    job = a_job({"to": "ann"}, attempt=3, opts={"attempts": 3})
    run = a_run(job, raw={b"stacktrace": b'["first"]', b"data": b'{"to": "ann"}'})
    job.data.clear()  # what a consumer makes of its data is not what the letter quotes
    letter = letter_of(run, Fail("boom", ReasonClass.EXHAUSTED, "last"), 5, "host-1")
    data = as_json(letter)
    assert (data["stacktrace"], data["attemptsMade"], data["data"]) == (["first", "last"], 3, {"to": "ann"})
    assert data["reasonClass"] == "exhausted"
    assert "raw" not in data


@pytest.mark.parametrize("size", [0, 10, MAX_RAW, MAX_RAW + 1])
def test_an_unreadable_payload_is_kept_as_it_was_within_bounds(size: int) -> None:
    raw = {b"name": b"a\xff", b"data": b"\xfe" * size, b"opts": b"null", b"timestamp": b"1"}
    run = a_run(a_job(None, name="a\ufffd"), raw=raw)
    letter = letter_of(run, Fail("no", ReasonClass.INVALID_PAYLOAD, ""), 5, "host-1")
    kept = {field: base64.b64decode(text) for field, text in as_json(letter)["raw"].items()}
    assert kept == {"name": b"a\xff", "data": b"\xfe" * min(size, MAX_RAW), "opts": b"null"}
    assert letter.data["rawTruncated"] is (size > MAX_RAW)


def test_a_job_without_a_name_has_a_letter_with_one() -> None:
    assert some_letter(name="").name == "unreadable"


def test_what_is_a_letter_passes() -> None:
    check_letter(some_letter())


@pytest.mark.parametrize(
    "data", [None, [], {}, {"originalQueue": "a"}, {"originalQueue": "a", "originalJobId": 7}]
)
def test_what_names_no_original_job_is_no_letter(data: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"job x .* names no originalQueue and originalJobId"):
        check_letter(Letter("x", "send", data, 5))


def test_a_payload_that_could_not_be_read_cannot_run_again() -> None:
    with pytest.raises(ConfigurationError, match="job 7 cannot be read, so it cannot run"):
        check_letter(some_letter(raw={b"data": b"\xff"}))
