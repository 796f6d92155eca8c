"""Names, defaults and the config of a worker."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import auth_worker
from auth_worker.config import EMAIL_JOB_TYPES, QUEUE_NAMES, SMS_JOB_TYPES, WORKER_CONFIG, WorkerConfig
from auth_worker.errors import ConfigurationError


def test_the_defaults_are_the_references() -> None:
    assert WORKER_CONFIG.model_dump(by_alias=True, exclude_none=True) == {
        "concurrency": 5,
        "attempts": 3,
        "backoff": {"type": "exponential", "delay": 1000, "jitter": 0},
        "removeOnComplete": {"count": 1000},
        "removeOnFail": {"count": 5000},
        "stalledInterval": 60000,
        "lockDuration": 60000,
        "drainDelay": 500,
        "maxStalledCount": 3,
        "logSample": 1,
        "deadLetterCancelled": False,
        "deadLetterQueues": (),
    }


def test_the_names_are_the_references() -> None:
    names: list[tuple[str, str]] = [
        (QUEUE_NAMES.EMAIL, "emailQueue"),
        (QUEUE_NAMES.EMAIL_DEAD_LETTER, "emailDeadLetter"),
        (EMAIL_JOB_TYPES.SEND_VERIFICATION_EMAIL, "sendVerificationEmail"),
        (SMS_JOB_TYPES.SEND_OTP, "sendOtp"),
    ]
    for ours, reference in names:
        assert ours == reference
        assert f"{ours}" == reference


def test_everything_public_is_there() -> None:
    for name in auth_worker.__all__:
        assert getattr(auth_worker, name) is not None
    assert auth_worker.WORKER_CONFIG is WORKER_CONFIG


def test_a_config_cannot_be_changed_and_serves_as_a_key() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        WORKER_CONFIG.concurrency = 9  # type: ignore[misc]
    assert {WorkerConfig(): 1}[WORKER_CONFIG] == 1
    letters: dict[str, str | None] = {"a": "dead", "b": None}
    config = WorkerConfig(dead_letter_queues=letters)
    assert {config: 1}[WorkerConfig(dead_letter_queues=dict(reversed(letters.items())))] == 1


def test_a_config_is_returned_as_it_is_or_built_from_either_spelling() -> None:
    assert WorkerConfig.of(WORKER_CONFIG) is WORKER_CONFIG
    snake = WorkerConfig.of(
        {"lock_duration": 500, "remove_on_fail": {"count": 1}, "limiter": {"max": 1, "duration": 2}}
    )
    camel = WorkerConfig.of(
        {"lockDuration": 500, "removeOnFail": {"count": 1}, "limiter": {"max": 1, "duration": 2}}
    )
    assert snake == camel
    assert (snake.lock_duration, snake.remove_on_fail.count) == (500, 1)
    assert (
        WorkerConfig.of({"metrics": {"maxDataPoints": 5}}).metrics
        == WorkerConfig(metrics={"max_data_points": 5}).metrics
    )


@pytest.mark.parametrize(
    ("key", "nearest"),
    [("concurency", "concurrency"), ("lock_durration", "lock_duration"), ("lockDuratoin", "lock_duration")],
)
def test_an_unknown_key_names_the_nearest(key: str, nearest: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"worker_config: {key} is not known; did you mean {nearest}\?"):
        WorkerConfig.of({key: 1})


@pytest.mark.parametrize("key", ["zzzzzz", 5])
def test_an_unknown_key_unlike_any_other_is_refused_without_advice(key: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"{key} is not known$"):
        WorkerConfig.of({key: 1})


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"concurrency": 0}, "concurrency"),
        ({"concurrency": 10_001}, "concurrency"),
        ({"concurrency": "many"}, "concurrency"),
        ({"attempts": 0}, "attempts"),
        ({"attempts": 101}, "attempts"),
        ({"backoff": {"type": "magic"}}, "backoff.type"),
        ({"backoff": {"delay": -1}}, "backoff.delay"),
        ({"backoff": {"jitter": 2}}, "backoff.jitter"),
        ({"backoff": 5}, "backoff"),
        ({"remove_on_fail": {"count": -2}}, "remove_on_fail.count"),
        ({"lock_duration": 99}, "lock_duration"),
        ({"stalled_interval": 9}, "stalled_interval"),
        ({"timeout": 0}, "timeout"),
        ({"limiter": {"max": 1}}, "limiter.duration"),
        ({"metrics": {"max_data_points": 0}}, "metrics.max_data_points"),
        ({"name": "a b"}, "name"),
        ({"name": "a\n"}, "name"),
    ],
)
def test_a_wrong_value_names_its_field(values: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^worker_config: .*{field}: "):
        WorkerConfig(**values)


@pytest.mark.parametrize("value", [None, 5, "x", [("attempts", 3)]])
def test_a_config_that_is_not_a_mapping_is_refused(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="worker_config must be a WorkerConfig or a mapping"):
        WorkerConfig.of(value)


def test_every_wrong_field_is_named_at_once() -> None:
    with pytest.raises(ConfigurationError, match=r"attempts: .*; .*timeout: "):
        WorkerConfig(attempts=0, timeout=0)


@given(
    values=st.dictionaries(
        st.sampled_from([*WorkerConfig.model_fields, "unknown"]),
        st.none() | st.integers() | st.text(max_size=3) | st.dictionaries(st.text(max_size=3), st.integers()),
    )
)
def test_anything_makes_a_config_or_a_configuration_error(
    values: dict[str, Any],
) -> None:
    with contextlib.suppress(ConfigurationError):
        WorkerConfig.of(values)


BOUNDS = {
    "concurrency": (1, 10_000),
    "attempts": (1, 100),
    "stalled_interval": (10, math.inf),
    "lock_duration": (100, math.inf),
    "drain_delay": (1, math.inf),
    "max_stalled_count": (0, math.inf),
    "timeout": (1, math.inf),
    "log_sample": (1, 1_000_000),
}


@given(field=st.sampled_from(sorted(BOUNDS)), value=st.integers(-2, 105) | st.integers(9_990, 1_000_010))
def test_a_number_is_accepted_within_its_bounds_and_refused_beyond(field: str, value: int) -> None:
    least, most = BOUNDS[field]
    if least <= value <= most:
        assert getattr(WorkerConfig(**{field: value}), field) == value
    else:
        with pytest.raises(ConfigurationError, match=field):
            WorkerConfig(**{field: value})


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, "inf", "nan", 10**400, "9" * 5000, 2**53])
@pytest.mark.parametrize(
    "field",
    [
        *sorted(BOUNDS),
        *("backoff.delay", "backoff.jitter", "limiter.max", "limiter.duration", "metrics.max_data_points"),
        *(f"remove_on_fail.{name}" for name in ("count", "age", "limit")),
    ],
)
def test_a_number_beyond_what_redis_can_count_is_refused(field: str, value: Any) -> None:
    name, _, part = field.partition(".")
    others = {"max": 1, "duration": 1} if name == "limiter" else {}
    given = {**others, part: value} if part else value
    with pytest.raises(ConfigurationError, match=name):
        WorkerConfig(**{name: given})


@pytest.mark.parametrize("wrong", [{"log_level": "LOUD"}, {"log_sample": 0}, {"logSample": "many"}])
def test_a_queue_logs_at_a_known_level_and_one_line_in_one_or_more(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"log_?(level|sample|Sample)"):
        WorkerConfig(**wrong)
    assert WorkerConfig(**{"logLevel": "DEBUG", "logSample": 100}).log_sample == 100
