"""Dead letters: the id names one failure, the data holds all that is known of it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from auth_worker.core.dead_letter import (
    MAX_ID,
    DeadLetter,
    check_dead_letter,
    dead_letter_id,
    make_dead_letter,
    queue_of,
)
from auth_worker.errors import ConfigurationError

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80)
deaths = st.tuples(names, names, st.integers(0, 2**53))


def some_letter(**changes: Any) -> DeadLetter:
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
    return make_dead_letter(**{**values, **changes})


def as_json(letter: DeadLetter) -> dict[str, Any]:
    """Return a dead letter's data as another worker reads it."""
    data: dict[str, Any] = json.loads(json.dumps(letter.data))
    return data


@given(first=deaths, second=deaths)
@example(first=("a.b", "c", 1), second=("a", "b.c", 1))
@example(first=("a", "b@c", 1), second=("a@b", "c", 1))
@example(first=("a", ".", 1), second=("a", "2e", 1))
@example(first=("a", "é", 1), second=("a", ".c3a9", 1))
@example(first=("q" * 80 + "1", "j" * 80, 1), second=("q" * 80 + "2", "j" * 80, 1))
@example(first=("q", "j" * 200 + "1", 1), second=("q", "j" * 200 + "2", 1))
def test_two_failures_have_the_same_id_only_if_they_are_the_same(
    first: tuple[str, str, int], second: tuple[str, str, int]
) -> None:
    assert (dead_letter_id(*first) == dead_letter_id(*second)) == (first == second)


@given(queue=names, job_id=st.binary(max_size=300), finished_on=st.integers(0, 2**53))
def test_an_id_is_valid_in_bullmq_and_in_redis_keys(queue: str, job_id: bytes, finished_on: int) -> None:
    name = dead_letter_id(queue, job_id.decode(errors="surrogateescape"), finished_on)
    assert re.fullmatch(r"[A-Za-z0-9._@-]+", name)
    assert len(name) <= MAX_ID
    assert not name.isdigit()
    assert name.endswith(f"@{finished_on}")


@pytest.mark.parametrize("queue", ["q" * 200, "а-очередь-писем" * 4, "注文" * 40, "a@b/c#d" * 12])
def test_an_id_contains_the_whole_queue_name_however_long(queue: str) -> None:
    assert dead_letter_id(queue, "7", 1).partition("@")[0] == dead_letter_id(queue, "j" * 300, 1).partition("@")[0]
    assert queue_of(dead_letter_id(queue, "7", 1)) == queue


def test_an_id_is_the_same_in_every_process_and_version() -> None:
    assert dead_letter_id("emailQueue", "order-17", 1700000000000) == "emailQueue@order-17@1700000000000"
    assert dead_letter_id("my queue", "a.b:c", 5) == "my.20queue@a.2eb.3ac@5"


def test_a_dead_letter_holds_everything_a_node_consumer_needs() -> None:
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


def test_the_dead_letter_of_a_job_without_a_name_has_one() -> None:
    assert some_letter(name="").name == "unreadable"


def test_a_dead_letter_passes_the_check() -> None:
    check_dead_letter(some_letter())


@pytest.mark.parametrize(
    "data", [None, [], {}, {"originalQueue": "a"}, {"originalQueue": "a", "originalJobId": 7}]
)
def test_a_job_without_an_original_job_is_not_a_dead_letter(data: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"job x .* has no originalQueue and originalJobId"):
        check_dead_letter(DeadLetter("x", "send", data, 5))


def test_a_payload_that_could_not_be_read_cannot_run_again() -> None:
    with pytest.raises(ConfigurationError, match="job 7 cannot be read, so it cannot run"):
        check_dead_letter(some_letter(raw={"data": b"\xff"}))
