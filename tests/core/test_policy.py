"""Job options, read from whatever bytes a producer stored."""

from __future__ import annotations

import json
from typing import Any

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from auth_worker.config import WorkerConfig
from auth_worker.core.coercion import MAX_NUMBER
from auth_worker.core.policy import (
    DECISIVE,
    SHORT_KEYS,
    JobPolicy,
    PolicyCache,
    natural,
    read_options,
)
from auth_worker.errors import InvalidPayloadError

CONFIG = WorkerConfig()
NAMES = [
    "attempts",
    "backoff",
    "delay",
    "priority",
    "lifo",
    "removeOnComplete",
    "removeOnFail",
    "keepLogs",
    "stackTraceLimit",
    "failParentOnFailure",
    "fpof",
    "cpof",
    "idof",
    "rdof",
    "kl",
    "de",
    "tm",
    "omc",
    "count",
    "age",
    "limit",
]

json_texts = st.recursive(
    st.sampled_from(
        ["null", "true", "0", "-1", "3", '"3"', '"abc"', "1e18", "1e999", "9" * 400, "-" + "9" * 400, "{}"]
    )
    | st.integers().map(str)
    | st.floats(allow_nan=False, allow_infinity=False).map(str),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]")
        | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4).map(
            lambda fields: "{" + ",".join(f'"{key}":{value}' for key, value in fields.items()) + "}"
        )
    ),
    max_leaves=12,
)


def parse_options(text: bytes, config: WorkerConfig = CONFIG) -> JobPolicy:
    _, options = PolicyCache(config).parse(text)
    return options


def parse(**given: Any) -> JobPolicy:
    return parse_options(json.dumps(given).encode())


@given(text=st.binary(max_size=200) | json_texts.map(str.encode))
@example(text=b"[" * 100_000)
@example(text=b'{"attempts":' + b"9" * 400 + b"}")
@example(text=b'{"attempts":' + b"9" * 5000 + b"}")
@example(text=b'{"removeOnFail":' + b"9" * 400 + b"}")
@example(text=b'{"removeOnFail":{"age":1e999,"count":-' + b"9" * 400 + b"}}")
@example(text=b'{"keepLogs":' + b"9" * 400 + b',"stackTraceLimit":1e999}')
@example(text=b'{"attempts":NaN}')
@example(text=b"\xff{}")
@example(text=b'"\\ud800"')
@example(text=b"")
def test_any_bytes_are_valid_options_or_an_invalid_payload(text: bytes) -> None:
    try:
        options = parse_options(text)
    except InvalidPayloadError:
        return
    assert 1 <= options.attempts <= MAX_NUMBER
    for keep in (options.keep_complete, options.keep_fail):
        assert keep
        assert set(keep) <= {"count", "age", "limit"}
        for name, least in (("count", -1), ("age", 0), ("limit", 1)):
            assert least <= keep.get(name, least) <= MAX_NUMBER
        assert msgpack.unpackb(msgpack.packb(keep)) == keep
    given = read_options(text)
    for number in (natural(given.get("keepLogs")), options.stack_trace_limit):
        assert number is None or 0 <= number <= MAX_NUMBER
    assert json.loads(json.dumps(given, allow_nan=True)) == given


@pytest.mark.parametrize(
    ("given", "attempts"),
    [
        (1, 1),
        (3, 3),
        ("3", 3),
        (" 4 ", 4),
        (2.9, 3),
        (0.5, 1),
        (-1, 1),
        (-1e18, 1),
        (5000, 5000),
        ("1e3", 1000),
        ("0x10", 16),
        (1e18, MAX_NUMBER),
        (10**400, MAX_NUMBER),
        ("Infinity", MAX_NUMBER),
        (True, 1),
        ([5], 5),
        ("many", 1),
        ("1_0", 1),
        ("nan", 1),
        ({}, 1),
        ([1, 2], 1),
    ],
)
def test_attempts_are_coerced_as_in_javascript(given: Any, attempts: int) -> None:
    assert parse(attempts=given).attempts == attempts


@pytest.mark.parametrize("given", [0, None, False, 0.0, "", " ", "0", []])
def test_without_attempts_of_its_own_a_job_gets_the_workers(given: Any) -> None:
    options = parse_options(json.dumps({"attempts": given}).encode(), WorkerConfig(attempts=7))
    assert options.attempts == 7


@pytest.mark.parametrize(
    ("given", "backoff"),
    [
        ({}, {"type": "exponential", "delay": 1000, "jitter": 0}),
        ({"attempts": 0}, {"type": "exponential", "delay": 1000, "jitter": 0}),
        ({"attempts": 3}, None),
        ({"attempts": 3, "backoff": 50}, 50),
        ({"backoff": {"type": "odd"}}, {"type": "odd"}),
    ],
)
def test_the_workers_backoff_applies_only_if_the_job_sets_none(given: dict[str, Any], backoff: Any) -> None:
    assert parse(**given).backoff == backoff


@pytest.mark.parametrize(
    ("given", "keep"),
    [
        (True, {"count": 0}),
        (False, {"count": -1}),
        (0, {"count": 0}),
        (17, {"count": 17}),
        (17.9, {"count": 17}),
        (-5, {"count": -1}),
        (1e300, {"count": MAX_NUMBER}),
        ({"count": 3}, {"count": 3}),
        ({"age": 60, "limit": 5}, {"age": 60, "limit": 5}),
        ({"age": -60, "limit": 0}, {"age": 0, "limit": 1}),
        ({"count": 10**30, "age": "old"}, {"count": MAX_NUMBER}),
        ({}, {"count": -1}),
        ("5", {"count": 5}),
        ("true", {"count": 0}),
        ("false", {"count": -1}),
        ("", {"count": -1}),
        ([1], {"count": -1}),
        ({"count": "3", "age": " 60 ", "limit": True}, {"count": 3, "age": 60}),
        ({"count": None, "age": ""}, {"count": -1}),
    ],
)
def test_retention_is_read_as_bullmq_reads_it_within_bounds(given: Any, keep: dict[str, int]) -> None:
    assert parse(removeOnComplete=given).keep_complete == keep
    assert parse(removeOnFail=given).keep_fail == keep


def test_without_retention_of_its_own_a_job_gets_the_workers() -> None:
    config = WorkerConfig(remove_on_complete={"count": 5}, remove_on_fail={"age": 60})
    options = parse_options(b"{}", config)
    assert (options.keep_complete, options.keep_fail) == ({"count": 5}, {"age": 60})
    assert parse_options(b'{"removeOnComplete":"all"}', config).keep_complete == {"count": 5}
    assert parse_options(b"{}", WorkerConfig(remove_on_complete={})).keep_complete == {"count": -1}


@pytest.mark.parametrize(("given", "count"), [(True, 0), (False, -1), (7, 7)])
def test_a_worker_says_what_it_keeps_as_a_job_does(given: bool | int, count: int) -> None:
    config = WorkerConfig(remove_on_complete=given, remove_on_fail=given)
    options = parse_options(b"{}", config)
    assert options.keep_complete == options.keep_fail == {"count": count}


@pytest.mark.parametrize(
    ("given", "value"), [(5, 5), (0, 0), (2.5, 2), (-1, None), ("5", 5), ("x", None), (True, None)]
)
def test_the_number_of_logs_and_traces_to_keep_is_a_number_or_none(given: Any, value: int | None) -> None:
    assert (natural(given), parse(stackTraceLimit=given).stack_trace_limit) == (value, value)


@pytest.mark.parametrize(
    ("given", "lifo"),
    [(True, True), (False, False), (1, True), ("false", True), ([], True), (0, False), ("", False), (None, False)],
)
def test_what_is_true_in_javascript_is_lifo(given: Any, lifo: bool) -> None:
    assert parse(lifo=given).lifo is lifo


def test_short_keys_are_read_as_their_long_names() -> None:
    given, options = PolicyCache(CONFIG).parse(json.dumps(dict.fromkeys(SHORT_KEYS, 1)).encode())
    assert given == dict.fromkeys(SHORT_KEYS.values(), 1)
    assert options.fail_parent
    assert options.continue_parent
    assert options.ignore_dependency
    assert options.remove_dependency


def test_a_job_without_options_about_its_parent_has_none() -> None:
    options = parse()
    assert not options.fail_parent
    assert not options.continue_parent
    assert not options.ignore_dependency
    assert not options.remove_dependency


@pytest.mark.parametrize("text", [b"null", b"[]", b"3", b'"x"', b"true"])
def test_options_that_are_not_an_object_are_refused_by_type(text: bytes) -> None:
    with pytest.raises(InvalidPayloadError, match="not an object"):
        parse_options(text)


@pytest.mark.parametrize("text", [b"{", b"\xff", b'{"a":NaN}', b'{"a":-Infinity}', b"[" * 100_000])
def test_options_that_are_not_json_are_refused(text: bytes) -> None:
    with pytest.raises(InvalidPayloadError, match="opts is not JSON"):
        parse_options(text)


def test_the_same_text_is_parsed_once_and_the_cache_stays_small() -> None:
    cache = PolicyCache(CONFIG, most=4)
    first = cache.parse(b"{}")
    assert cache.parse(b"{}") is first
    for number in range(4):
        assert cache.parse(b'{"attempts":%d}' % (number + 1))[1].attempts == number + 1
    assert cache.parse(b"{}") is not first


def test_options_that_only_identify_their_job_share_a_policy() -> None:
    cache = PolicyCache(CONFIG)
    texts = [b'{"attempts":3,"jobId":"%d","tm":"trace %d","timestamp":%d}' % (n, n, n) for n in range(3)]
    parsed = [cache.parse(text) for text in texts]
    assert [given["jobId"] for given, _ in parsed] == ["0", "1", "2"]
    assert len({id(options) for _, options in parsed}) == 1


def test_options_that_decide_differently_have_policies_of_their_own() -> None:
    cache = PolicyCache(CONFIG)
    kinds: list[dict[str, Any]] = [
        {},
        *({name: value} for name in DECISIVE for value in (1, 2) if name != "lifo"),
        {"lifo": True},
    ]
    judged = [cache.parse(json.dumps({"jobId": "x", "backoff": 5, **kind}).encode())[1] for kind in kinds]
    assert len({id(options) for options in judged}) == len(kinds)


def test_what_cannot_be_parsed_is_not_cached() -> None:
    cache = PolicyCache(CONFIG)
    for _ in range(2):
        with pytest.raises(InvalidPayloadError):
            cache.parse(b"{")
