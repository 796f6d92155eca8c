"""What is logged: a constant message, known fields, no data and no secret."""

from __future__ import annotations

import io
import logging
import re
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from auth_worker.config import Settings
from auth_worker.events import (
    BrokerChanged,
    DeadLettersReconciled,
    EventBus,
    JobCompleted,
    JobFailed,
    JobLogged,
    JobMoved,
    JobRetried,
    JobsRecovered,
    LeaseLost,
    LoopBlocked,
    OutcomeName,
    Problem,
    ProcessorChanged,
    SuspectChanged,
)
from auth_worker.job import Job
from auth_worker.messages import WORKER_ERRORS, WORKER_MESSAGES
from auth_worker.observability.completed_lines import MOST_HEADS
from auth_worker.observability.log_lines import LogObserver
from auth_worker.observability.logs import Log, open_log
from support.log_capture import lines_of, own_log
from support.processors import Harness

CANARY = "Canary7Secret"
SECRET = f"token={CANARY} https://user:{CANARY}@x.example/{CANARY} Bearer {CANARY}"
JOB = ("work", "job-1", "send", 2)
FIELDS = {"queue": "work", "job_id": "job-1", "job_name": "send", "attempt": 2, "duration_ms": 12.346}
EVENTS: list[tuple[Any, str, str, dict[str, Any]]] = [
    (JobCompleted(*JOB, 12.3456, 1.0), "info", WORKER_MESSAGES.JOB_COMPLETED, {**FIELDS, "outcome": "completed"}),
    (
        JobRetried(*JOB, 12.3456, 1.0, 500, "boom"),
        "warning",
        WORKER_MESSAGES.JOB_RETRIED,
        {**FIELDS, "outcome": "retried", "delay_ms": 500, "error": "boom"},
    ),
    (
        JobFailed(*JOB, 12.3456, 1.0, "boom", "exhausted", "letter-1"),
        "error",
        WORKER_ERRORS.JOB_FAILED,
        {**FIELDS, "outcome": "failed", "reason_class": "exhausted", "error": "boom", "dead_letter": "letter-1"},
    ),
    (
        JobFailed(*JOB, 12.3456, 1.0, "boom", "exhausted", ""),
        "error",
        WORKER_ERRORS.JOB_FAILED,
        {**FIELDS, "outcome": "failed", "reason_class": "exhausted", "error": "boom", "dead_letter": None},
    ),
    (
        JobMoved(*JOB, 12.3456, OutcomeName.DELAYED, "for 5 ms"),
        "info",
        WORKER_MESSAGES.JOB_DELAYED,
        {**FIELDS, "outcome": "delayed", "detail": "for 5 ms"},
    ),
    (
        JobMoved(*JOB, 12.3456, OutcomeName.WAITING_CHILDREN, ""),
        "info",
        WORKER_MESSAGES.JOB_WAITING_CHILDREN,
        {**FIELDS, "outcome": "waiting-children", "detail": ""},
    ),
    (
        JobMoved(*JOB, 12.3456, OutcomeName.DROPPED, ""),
        "error",
        WORKER_ERRORS.JOB_ORPHANED,
        {"queue": "work", "job_id": "job-1"},
    ),
    (LeaseLost(*JOB, 12.3456), "warning", WORKER_ERRORS.LEASE_LOST, {**FIELDS, "outcome": "lost"}),
    (
        JobLogged("work", "job-1", "send", 2, "half\nway, token=abc"),
        "info",
        WORKER_MESSAGES.JOB_LOG,
        {"queue": "work", "job_id": "job-1", "job_name": "send", "attempt": 2, "text": "half\\nway, token=***"},
    ),
    (ProcessorChanged("work", "paused"), "info", WORKER_MESSAGES.PROCESSOR_PAUSED, {"queue": "work"}),
    (
        BrokerChanged("commands", True, "", 1.23456),
        "info",
        WORKER_MESSAGES.BROKER_RECOVERED,
        {"connection": "commands", "down_s": 1.235},
    ),
    (
        BrokerChanged("commands", False, "closed", 0),
        "warning",
        WORKER_ERRORS.BROKER_LOST,
        {"connection": "commands", "error": "closed"},
    ),
    *(
        (
            SuspectChanged("work", "job-1", "send", 2, state),
            "warning",
            message,
            {"queue": "work", "job_id": "job-1", "job_name": "send", "stalls": 2, "state": state},
        )
        for state, message in (
            ("held", WORKER_MESSAGES.SUSPECT_HELD),
            ("alone", WORKER_MESSAGES.SUSPECT_RUNS),
            ("beside others", WORKER_MESSAGES.SUSPECT_RUNS),
        )
    ),
    (
        LoopBlocked(2.34567, ("work:1",)),
        "error",
        WORKER_ERRORS.CONSUMER_BLOCKS_LOOP,
        {"lag_s": 2.346, "running": ["work:1"]},
    ),
    (
        DeadLettersReconciled("work", 3),
        "info",
        WORKER_MESSAGES.DEAD_LETTERS_RECONCILED,
        {"queue": "work", "added": 3},
    ),
    (
        Problem(WORKER_ERRORS.BROKER_REFUSED, "work", "OOM"),
        "error",
        WORKER_ERRORS.BROKER_REFUSED,
        {"queue": "work", "error": "OOM", "left_out": 0},
    ),
]
each_event = pytest.mark.parametrize(
    ("event", "level", "message", "fields"), EVENTS, ids=lambda value: type(value).__name__
)


def recorded() -> tuple[EventBus, list[tuple[str, str, dict[str, Any]]]]:
    """Build a bus whose events a user's logger records."""
    lines: list[tuple[str, str, dict[str, Any]]] = []

    def at(level: str) -> Any:
        return lambda message, **fields: lines.append((level, message, fields))

    logger = SimpleNamespace(info=at("info"), warning=at("warning"), error=at("error"))
    bus = EventBus()
    LogObserver(Log(logger, None, None)).attach(bus)
    return bus, lines


@each_event
def test_an_event_becomes_a_constant_message_with_fields(
    event: Any, level: str, message: str, fields: dict[str, Any]
) -> None:
    bus, lines = recorded()
    bus.emit(event)
    assert lines == [(level, message, fields)]


@each_event
def test_our_own_lines_are_json_with_level_and_time(
    event: Any, level: str, message: str, fields: dict[str, Any]
) -> None:
    bus, log, stream = own_log()
    bus.emit(event)
    [line] = lines_of(stream, log)
    stamp = datetime.fromisoformat(line.pop("timestamp"))
    assert abs((datetime.now(UTC) - stamp).total_seconds()) < 60
    assert line == {"event": message, "level": level, **fields}


@pytest.mark.parametrize(
    "event",
    [
        JobRetried(*JOB, 1.0, 1.0, 5, SECRET),
        JobFailed(*JOB, 1.0, 1.0, SECRET, "exhausted", ""),
        Problem(WORKER_ERRORS.MAINTENANCE_FAILED, "work", SECRET),
    ],
    ids=lambda event: type(event).__name__,
)
def test_a_secret_in_an_error_never_reaches_a_line(event: Any) -> None:
    bus, log, stream = own_log()
    bus.emit(event)
    assert len(lines_of(stream, log)) == 1
    assert CANARY not in stream.getvalue()


def test_hostile_names_stay_within_their_line() -> None:
    bus, log, stream = own_log()
    hostile = 'a"}\n{"event": "x"}\u2028\x1b[31m\ud800'
    bus.emit(JobCompleted(hostile, hostile, hostile, 1, 1.0, 1.0))
    bus.emit(JobFailed(hostile, hostile, hostile, 1, 1.0, 1.0, hostile, "exhausted", ""))
    for line in lines_of(stream, log):
        assert (line["queue"], line["job_id"], line["job_name"]) == (hostile, hostile, hostile)
    assert stream.getvalue().isascii()


def test_each_job_has_its_own_line_with_its_own_time() -> None:
    bus, log, stream = own_log()
    for number in range(50):
        bus.emit(JobCompleted("work", f"job-{number}", "send", 1, number, 1.0))
    lines = lines_of(stream, log)
    assert [line["job_id"] for line in lines] == [f"job-{number}" for number in range(50)]
    assert [line["duration_ms"] for line in lines] == list(range(50))
    stamps = [datetime.fromisoformat(line["timestamp"]) for line in lines]
    assert stamps == sorted(stamps)


def test_many_job_names_do_not_fill_the_memory() -> None:
    bus, log, stream = own_log()
    for number in range(MOST_HEADS + 5):
        bus.emit(JobCompleted("work", "job-1", f"name {number}", 1, 1.0, 1.0))
    assert [line["job_name"] for line in lines_of(stream, log)] == [f"name {n}" for n in range(MOST_HEADS + 5)]


def test_on_a_terminal_lines_are_formatted_for_reading() -> None:
    bus, log, stream = own_log(log_format="console")
    bus.emit(EVENTS[0][0])
    log.drain()
    text = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue())
    assert "Job completed" in text
    assert "job_id=job-1" in text


def test_a_problem_is_logged_once_a_second_with_the_number_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("auth_worker.observability.log_lines.time", SimpleNamespace(monotonic=lambda: now))
    bus, lines = recorded()
    refused = Problem(WORKER_ERRORS.BROKER_REFUSED, "work", "OOM")
    for second in range(3):
        now = 100.0 + second
        for _ in range(10):
            bus.emit(refused)
    assert [fields["left_out"] for _, _, fields in lines] == [0, 9, 9]


def test_a_problem_of_one_kind_does_not_silence_another() -> None:
    bus, lines = recorded()
    for queue in ("work", "mail"):
        for message in (WORKER_ERRORS.BROKER_REFUSED, WORKER_ERRORS.MAINTENANCE_FAILED):
            bus.emit(Problem(message, queue, ""))
    assert len(lines) == 4


def test_a_first_connection_and_a_draining_processor_are_not_logged() -> None:
    bus, lines = recorded()
    bus.emit(BrokerChanged("commands", True, "", 0.0))
    bus.emit(ProcessorChanged("work", "draining"))
    assert lines == []


@pytest.mark.parametrize("ids", [("a",), tuple(str(number) for number in range(500))])
def test_a_line_names_twenty_jobs_at_most(ids: tuple[str, ...]) -> None:
    bus, lines = recorded()
    bus.emit(JobsRecovered("work", ids))
    bus.emit(LoopBlocked(1.0, ids))
    [(_, _, recovered), (_, _, blocked)] = lines
    assert (recovered["count"], tuple(recovered["job_ids"])) == (len(ids), ids[:20])
    assert blocked["running"] == list(ids[:20])


def test_a_logger_of_the_standard_library_gets_message_and_fields(caplog: pytest.LogCaptureFixture) -> None:
    log = open_log(logging.getLogger("app"), Settings(http_port=None))
    bus = EventBus()
    LogObserver(log).attach(bus)
    with caplog.at_level(logging.INFO, "app"):
        for event, *_ in EVENTS:
            bus.emit(event)
    assert [record.getMessage() for record in caplog.records] == [message for _, _, message, _ in EVENTS]
    assert caplog.records[0].__dict__["job_id"] == "job-1"
    assert log.lines is None
    log.drain()


def test_a_structlog_logger_is_used_as_it_is() -> None:
    logger = structlog.get_logger()
    assert open_log(logger, Settings(http_port=None)).logger is logger


async def test_a_line_of_one_job_never_has_fields_that_another_bound(harness: Harness) -> None:
    stream = io.StringIO()
    log = open_log(None, harness.settings(log_level="INFO"), stream)

    async def consumer(job: Job) -> None:
        structlog.contextvars.bind_contextvars(bound=job.name)
        if job.data:
            raise RuntimeError("boom")

    processor = await harness.processor(consumer, {"attempts": 2}, start=False)
    LogObserver(log).attach(processor.runtime.bus)
    await processor.initialize()
    await harness.jobs.add_bulk({"name": f"job-{n}", "data": n % 2} for n in range(40))
    await harness.settled(40)
    lines = [line for line in lines_of(stream, log) if "job_name" in line]
    assert len(lines) >= 60
    assert [line for line in lines if "bound" in line] == []
