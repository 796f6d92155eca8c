"""From stored bytes to a job."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from auth_worker.brokers.redis.decode import (
    RawJob,
    attempts_made,
    deferred_failure_of,
    earlier_traces,
    is_orphan,
    read_job,
    scheduler_of,
    unreadable_job,
    unsound_fields,
    waited_ms,
)
from auth_worker.config import WorkerConfig
from auth_worker.core.coercion import MAX_NUMBER
from auth_worker.core.policy import JobPolicy, PolicyCache
from auth_worker.errors import InvalidPayloadError
from auth_worker.job import Job

LIMIT = 1000
parse = PolicyCache(WorkerConfig()).parse
FIELDS = [
    "name",
    "data",
    "opts",
    "timestamp",
    "delay",
    "priority",
    "attemptsMade",
    "atm",
    "ats",
    "stc",
    "processedOn",
    "progress",
    "parent",
    "stacktrace",
    "returnvalue",
    "failedReason",
    "rjk",
    "defa",
]
hashes = st.dictionaries(
    st.sampled_from([field.encode() for field in FIELDS]) | st.binary(max_size=4),
    st.binary(max_size=30)
    | st.sampled_from(
        [b"0", b"-1", b"9" * 400, b"-" + b"9" * 400, b"9" * 5000, b"NaN", b"1e400", b"null", b"{}", b"[]"]
    ),
    max_size=8,
)


def read(raw: RawJob, limit: int = LIMIT) -> tuple[Job, JobPolicy]:
    return read_job(raw, "7", "work", parse, max_bytes=limit)


def stored(**fields: Any) -> RawJob:
    """A job's hash as a producer writes it, with some fields changed; None leaves one out."""
    values: dict[str, Any] = {"name": "send", "data": "{}", "opts": "{}", "timestamp": "1700000000000", **fields}
    return {
        key.encode(): value if isinstance(value, bytes) else str(value).encode()
        for key, value in values.items()
        if value is not None
    }


@given(raw=hashes)
@example(raw={b"name": b"a", b"data": b"[" * 900})
@example(raw={b"name": b"a", b"timestamp": b"-" + b"9" * 400, b"processedOn": b"1"})
@example(raw={b"name": b"a", b"opts": b'{"attempts":' + b"9" * 400 + b"}"})
def test_any_hash_is_a_job_or_an_invalid_payload(raw: RawJob) -> None:
    assert waited_ms(raw, unreadable_job(raw, "7", "work")) >= 0
    assert all(isinstance(trace, str) for trace in earlier_traces(raw))
    assert isinstance(attempts_made(raw), int)
    try:
        job, options = read(raw)
    except InvalidPayloadError:
        return
    assert isinstance(job.name, str)
    assert job.max_attempts == options.attempts
    assert job.parent is None or isinstance(job.parent, dict)
    json.dumps(job.data, allow_nan=False)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"data": "{bad"}, "data is not JSON"),
        ({"data": ""}, "data is not JSON"),
        ({"opts": "{bad"}, "opts is not JSON"),
        ({"opts": "null"}, "opts is a JSON NoneType"),
        ({"data": b'"\xff\xfe"'}, "not UTF-8"),
        ({"opts": b"\xff"}, "opts is not JSON"),
        ({"name": b"\xff"}, "not UTF-8"),
        ({"data": "[" * 100_000}, "nested too deep"),
        ({"data": '{"a":' * 100_000}, "nested too deep"),
        ({"data": "9" * 5000}, "data is not JSON"),
        ({"data": '{"x":NaN}'}, "data is not JSON"),
        ({"data": "[Infinity]"}, "data is not JSON"),
        ({"data": "-Infinity"}, "data is not JSON"),
        ({"name": None}, "name is missing"),
    ],
)
def test_an_unreadable_payload_says_which_field_and_why(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidPayloadError, match=reason):
        read(stored(**fields), limit=10**6)


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ('{"a":"\\u0000"}', {"a": "\0"}),
        ('{"a":"\\ud800"}', {"a": "\ud800"}),
        ('{"a":"\\u2028"}', {"a": "\u2028"}),
        ('{"__proto__":1,"constructor":2}', {"__proto__": 1, "constructor": 2}),
        ('{"a":1,"a":2}', {"a": 2}),
        ("null", None),
        ("[1,2.5,true]", [1, 2.5, True]),
        (None, {}),
    ],
)
def test_odd_but_valid_data_arrives_unchanged(text: str | None, data: Any) -> None:
    assert read(stored(data=text))[0].data == data


@pytest.mark.parametrize(
    ("attempts", "clamped"),
    [('"3"', 3), ("1e18", MAX_NUMBER), ("-1", 1), ("null", 3), ("0", 3), ("9" * 400, MAX_NUMBER), ('"abc"', 1)],
)
def test_attempts_are_coerced(attempts: str, clamped: int) -> None:
    job, options = read(stored(opts=f'{{"attempts":{attempts}}}'))
    assert job.max_attempts == options.attempts == clamped


@pytest.mark.parametrize("field", ["name", "data", "opts"])
def test_a_field_beyond_the_limit_is_refused_before_it_is_read(field: str) -> None:
    with pytest.raises(InvalidPayloadError, match=rf"{field} has 1,001 bytes, more than the limit of 1,000"):
        read(stored(**{field: "[" * (LIMIT + 1)}))


def test_data_at_the_limit_is_read() -> None:
    text = json.dumps("x" * (LIMIT - 2))
    assert read(stored(data=text))[0].data == "x" * (LIMIT - 2)


@pytest.mark.parametrize("junk", ["", "soon", "0x10", b"\xff"])
def test_a_number_that_is_none_is_zero(junk: Any) -> None:
    job, _ = read(stored(timestamp=junk, priority=junk, attemptsMade=junk), limit=10**4)
    assert (job.timestamp, job.priority, job.attempt) == (0, 0, 1)


@pytest.mark.parametrize(("text", "number"), [(" 7", 7), ("1.5", 1), ("1e3", 1), ("9" * 5000, MAX_NUMBER)])
def test_a_number_is_read_as_far_as_it_is_one(text: str, number: int) -> None:
    job, _ = read(stored(timestamp=text, priority=text), limit=10**4)
    assert (job.timestamp, job.priority) == (number, number)


@pytest.mark.parametrize("field", ["atm", "ats", "stc"])
@pytest.mark.parametrize(
    "junk", ["", "soon", "1.5", "0x10", "1e3", "05", "--5", "-0", "+5", " 5", "5\n", "9" * 19, "9" * 400, b"\xff"]
)
def test_a_counter_that_redis_cannot_count_makes_the_payload_invalid(field: str, junk: Any) -> None:
    with pytest.raises(InvalidPayloadError, match=f"{field} cannot be read"):
        read(stored(**{field: junk}))
    assert unsound_fields(stored(**{field: junk})) == [field.encode()]
    assert unsound_fields(stored(**{field: "12"})) == []


@pytest.mark.parametrize("junk", ["{bad", b"\xff", "NaN", "[1]", "", "7"])
def test_a_parent_that_is_no_object_makes_the_payload_invalid(junk: Any) -> None:
    with pytest.raises(InvalidPayloadError, match="parent cannot be read"):
        read(stored(parent=junk))
    assert unsound_fields(stored(parent=junk)) == [b"parent", b"parentKey"]


@pytest.mark.parametrize("junk", ["{bad", b"\xff", "NaN", "[" * 100_000, "", "0"])
def test_progress_and_traces_that_cannot_be_read_are_left_out(junk: Any) -> None:
    raw = stored(progress=junk, stacktrace=junk)
    assert (read(raw)[0].progress, earlier_traces(raw)) == (0, [])


def test_everything_bullmq_stores_reaches_the_job() -> None:
    raw = stored(
        data='{"to":"a"}',
        opts='{"attempts":5,"kl":3}',
        atm="2",
        stc="1",
        priority="9",
        progress='{"step":2}',
        parent='{"id":"1","queueKey":"bull:q"}',
        stacktrace='["first",2]',
    )
    job, options = read_job(raw, "7", "work", parse, max_bytes=LIMIT, token="t:1")
    assert (job.id, job.name, job.queue_name, job.token) == ("7", "send", "work", "t:1")
    assert (job.data, dict(job.opts)) == ({"to": "a"}, {"attempts": 5, "keepLogs": 3})
    assert (job.attempt, job.max_attempts, options.attempts) == (3, 5, 5)
    assert (job.timestamp, job.priority, job.stalled_count) == (1700000000000, 9, 1)
    assert (job.progress, job.parent) == ({"step": 2}, {"id": "1", "queueKey": "bull:q"})
    assert earlier_traces(raw) == ["first", "2"]


def test_older_jobs_count_their_attempts_in_another_field() -> None:
    assert attempts_made(stored(attemptsMade="4")) == 4
    assert attempts_made(stored(attemptsMade="4", atm="6")) == 6


def test_traces_that_are_no_list_are_left_out() -> None:
    assert earlier_traces(stored(stacktrace='{"a":1}')) == []


def test_what_a_consumer_does_to_its_options_does_not_reach_the_next_job() -> None:
    cache = PolicyCache(WorkerConfig())
    jobs = [read_job(stored(opts='{"delay":5}'), "7", "work", cache.parse, max_bytes=LIMIT)[0] for _ in range(2)]
    assert isinstance(jobs[0].opts, dict)
    jobs[0].opts.clear()
    assert jobs[1].opts == {"delay": 5}


def test_an_id_whose_hash_is_gone_is_an_orphan() -> None:
    assert is_orphan({b"processedOn": b"1", b"ats": b"1"})
    for field in (b"name", b"data", b"timestamp"):
        assert not is_orphan({field: b"1"})


@pytest.mark.parametrize(
    ("fields", "waited"),
    [
        ({"timestamp": "1000", "processedOn": "1500"}, 500),
        ({"timestamp": "1000", "delay": "300", "processedOn": "1500"}, 200),
        ({"timestamp": "1000", "delay": "-300", "processedOn": "1500"}, 500),
        ({"timestamp": "2000", "processedOn": "1500"}, 0),
        ({"timestamp": None, "processedOn": "1500"}, 0),
        ({"timestamp": "1000", "processedOn": "1500", "atm": "1"}, 0),
    ],
)
def test_a_job_has_waited_since_it_could_have_run(fields: dict[str, Any], waited: float) -> None:
    raw = stored(**fields)
    assert waited_ms(raw, unreadable_job(raw, "7", "work")) == waited


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("job stalled more than allowable limit", "job stalled more than allowable limit"),
        ("child bull:q:1 failed", "child bull:q:1 failed"),
        (None, None),
    ],
)
def test_a_deferred_failure_keeps_its_reason(text: str | None, reason: str | None) -> None:
    assert deferred_failure_of(stored(defa=text)) == reason


def test_an_iteration_names_its_scheduler() -> None:
    assert (scheduler_of(stored(rjk="nightly")), scheduler_of(stored())) == ("nightly", "")
