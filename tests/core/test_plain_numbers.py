"""Numbers of settings, configs and job options are written as in JSON; others are refused by the field's name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from auth_worker import WorkerConfig
from auth_worker.config import Settings
from auth_worker.errors import ConfigurationError
from auth_worker.queue import job_options

ODD = ["1_000", "\u0661\u0662", " 5 ", "5\n", "+5", "05", "0x10", "inf", "nan", "", True, b"5"]
FIELDS: dict[str, Callable[[Any], Any]] = {
    "concurrency": lambda odd: WorkerConfig(concurrency=odd),
    "backoff.delay": lambda odd: WorkerConfig(backoff={"delay": odd}),
    "backoff.jitter": lambda odd: WorkerConfig(backoff={"jitter": odd}),
    "remove_on_fail.age": lambda odd: WorkerConfig(remove_on_fail={"age": odd}),
    "limiter.max": lambda odd: WorkerConfig(limiter={"max": odd, "duration": 1}),
    "metrics.max_data_points": lambda odd: WorkerConfig(metrics={"max_data_points": odd}),
    "http_port": lambda odd: Settings(http_port=odd),
    "smtp_connections": lambda odd: Settings(smtp_connections=odd),
    "startup_timeout": lambda odd: Settings(startup_timeout=odd),
    "dead_letter_max_count": lambda odd: Settings(dead_letter_max_count=odd),
    "attempts": lambda odd: job_options({"attempts": odd}),
    "delay": lambda odd: job_options({"delay": odd}),
    "backoff": lambda odd: job_options({"backoff": {"delay": odd}}),
    "remove_on_complete": lambda odd: job_options({"remove_on_complete": {"count": odd}}),
}


@pytest.mark.parametrize("odd", ODD, ids=repr)
@pytest.mark.parametrize("field", FIELDS)
def test_a_number_only_to_python_is_refused_with_its_field(field: str, odd: Any) -> None:
    with pytest.raises(ConfigurationError) as refused:
        FIELDS[field](odd)
    assert field in str(refused.value)
    assert "function-" not in str(refused.value)


def test_such_a_number_in_the_environment_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_WORKER_SHUTDOWN_TIMEOUT", "1_0")
    with pytest.raises(ConfigurationError, match="shutdown_timeout: must be a number, written as in JSON"):
        Settings()


def test_numbers_in_texts_are_accepted() -> None:
    config = WorkerConfig(concurrency="7", backoff={"delay": "250", "jitter": "5e-1"})
    assert (config.concurrency, config.backoff.delay, config.backoff.jitter) == (7, 250, 0.5)
    assert Settings(http_port="8080", startup_timeout="2.5").startup_timeout == 2.5
