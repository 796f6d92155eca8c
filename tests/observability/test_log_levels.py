"""Which lines are written: by level, by queue, and by sampling."""

from __future__ import annotations

import io
import logging
import re
from types import SimpleNamespace
from typing import Any

import pytest

from auth_worker.config import Settings, WorkerConfig
from auth_worker.events import EventBus, JobCompleted, JobFailed, JobRetried
from auth_worker.messages import WORKER_ERRORS, WORKER_MESSAGES
from auth_worker.observability.log_lines import LogObserver
from auth_worker.observability.logs import Log, open_log
from auth_worker.observability.logs import stdlib as standard
from support.log_capture import lines_of, own_log


def completed(queue: str, number: int = 1) -> JobCompleted:
    return JobCompleted(queue, f"job-{number}", "send", 1, 1.0, 1.0)


def failed(queue: str, number: int = 1) -> JobFailed:
    return JobFailed(queue, f"job-{number}", "send", 1, 1.0, 1.0, "boom", "exhausted", "")


def told(stream: io.StringIO, log: Log) -> list[tuple[str, str]]:
    """Return queue and level of each line."""
    return [(line["queue"], line["level"]) for line in lines_of(stream, log)]


@pytest.fixture
def treated(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[EventBus, Log, io.StringIO]:
    """The service's own log in both formats, with queues that have their own levels and sampling."""
    monkeypatch.setattr(standard, "_queue_levels", {})
    stream = io.StringIO()
    log = open_log(None, Settings(http_port=None, log_format=request.param), stream)
    observer, bus = LogObserver(log), EventBus()
    observer.attach(bus)
    observer.configure_queue("usual", WorkerConfig())
    observer.configure_queue("calm", WorkerConfig(log_level="ERROR"))
    observer.configure_queue("fast", WorkerConfig(log_sample=3))
    return bus, log, stream


@pytest.mark.parametrize("settings", [{"log_level": "WARNING"}, {"log_level": "ERROR"}])
def test_completed_jobs_are_not_logged_above_their_level(settings: dict[str, Any]) -> None:
    bus, log, stream = own_log(**settings)
    bus.emit(completed("work"))
    bus.emit(failed("work"))
    assert [line["event"] for line in lines_of(stream, log)] == [WORKER_ERRORS.JOB_FAILED]


def test_without_job_lines_only_failures_are_logged() -> None:
    bus, log, stream = own_log(jobs=False)
    bus.emit(completed("work"))
    bus.emit(failed("work"))
    assert [line["event"] for line in lines_of(stream, log)] == [WORKER_ERRORS.JOB_FAILED]


@pytest.mark.parametrize("treated", ["json"], indirect=True)
def test_a_queue_with_its_own_level_logs_only_that(treated: tuple[EventBus, Log, io.StringIO]) -> None:
    bus, log, stream = treated
    for queue in ("usual", "calm"):
        bus.emit(completed(queue))
        bus.emit(JobRetried(queue, "job-1", "send", 1, 1.0, 1.0, 5, "boom"))
        bus.emit(failed(queue))
    assert told(stream, log) == [("usual", "info"), ("usual", "warning"), ("usual", "error"), ("calm", "error")]


def test_a_queue_may_log_more_than_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standard, "_queue_levels", {})
    stream = io.StringIO()
    log = open_log(None, Settings(http_port=None, log_level="ERROR"), stream)
    observer, bus = LogObserver(log), EventBus()
    observer.attach(bus)
    observer.configure_queue("loud", WorkerConfig(log_level="INFO"))
    for queue in ("usual", "loud"):
        bus.emit(completed(queue))
    assert told(stream, log) == [("loud", "info")]


@pytest.mark.parametrize("treated", ["json", "console"], indirect=True)
def test_a_sampled_queue_logs_one_completed_job_in_n_and_every_failure(
    treated: tuple[EventBus, Log, io.StringIO],
) -> None:
    bus, log, stream = treated
    for number in range(7):
        bus.emit(completed("fast", number))
        bus.emit(completed("usual", number))
        bus.emit(failed("fast", number))
    log.drain()
    text = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue())
    of_fast = [line for line in text.splitlines() if "fast" in line]
    of_completed = [line for line in of_fast if WORKER_MESSAGES.JOB_COMPLETED in line]
    assert [re.findall(r"job-\d", line)[0] for line in of_completed] == ["job-0", "job-3", "job-6"]
    assert all(re.search(r"sample\W+3", line) for line in of_completed)
    assert len(of_fast) - len(of_completed) == 7
    assert sum("usual" in line for line in text.splitlines()) == 7


def test_without_levels_of_queues_no_job_costs_a_look_up() -> None:
    _, log, _ = own_log()
    observer = LogObserver(log)
    other = EventBus()
    observer.attach(other)
    observer.configure_queue("usual", WorkerConfig())
    (listener,) = other._listeners[JobCompleted]
    assert listener.__qualname__ == "JobLines.write"


@pytest.mark.parametrize("kind", ["stdlib", "structlog"])
def test_the_level_of_a_queue_applies_to_a_users_logger_too(
    kind: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standard, "_queue_levels", {})
    said: list[Any] = []
    take = said.append
    logger: Any = logging.getLogger("app")
    if kind == "structlog":
        logger = SimpleNamespace(
            info=lambda message, **fields: take(fields["queue"]),
            error=lambda message, **fields: take(fields["queue"]),
        )
    observer, bus = LogObserver(open_log(logger, Settings(http_port=None))), EventBus()
    observer.attach(bus)
    observer.configure_queue("calm", WorkerConfig(log_level="ERROR"))
    with caplog.at_level(logging.INFO, "app"):
        for queue in ("usual", "calm"):
            bus.emit(completed(queue))
            bus.emit(failed(queue))
    said = said or [record.__dict__["queue"] for record in caplog.records]
    assert said == ["usual", "usual", "calm"]
