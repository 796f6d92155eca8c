"""The application's log lines: in our format, with their job, masked, at the level of their queue."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import pickle
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from auth_worker.config import Settings
from auth_worker.job import Job
from auth_worker.messages import WORKER_ERRORS
from auth_worker.observability.logs import configure_logging, current_setup, repeat_setup, set_queue_level
from auth_worker.observability.logs import stdlib as standard
from auth_worker.observability.logs.sink import sink_of
from auth_worker.observability.logs.stdlib import SinkHandler
from support.factories import a_job, a_run, outcome_of
from support.processors import QUEUE, Harness

CANARY = "Canary7Secret"
CONTEXT = {"queue": "work", "job_id": "job-1", "job_name": "send", "attempt": 1}
Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """The stream of the lines. Restores the logging configuration afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setattr(standard, "_queue_levels", {})
    logging.captureWarnings(False)  # an earlier test may have left it on, and then it is not set up again
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


@pytest.fixture
def lines(stream: io.StringIO) -> Lines:
    """Configure logging, and return a function that reads what was written since."""
    configure_logging(Settings(http_port=None), stream)

    def written() -> list[dict[str, Any]]:
        sink_of(stream).drain()
        return [json.loads(line) for line in stream.getvalue().splitlines()]

    return written


def context_of(line: dict[str, Any]) -> dict[str, Any]:
    return {name: line[name] for name in CONTEXT if name in line}


def test_a_worker_process_logs_alike_and_gets_no_other_setting(
    stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure_logging(Settings(redis_url=f"redis://:{CANARY}@localhost", log_level="ERROR"), stream)
    set_queue_level(QUEUE, "DEBUG")
    setup = current_setup()
    sent = pickle.dumps(setup)
    assert CANARY.encode() not in sent
    monkeypatch.setattr(standard, "_queue_levels", {})
    configure_logging(Settings(), stream)
    repeat_setup(pickle.loads(sent))
    assert current_setup() == setup


def test_a_line_of_a_library_has_our_format(lines: Lines) -> None:
    logging.getLogger("some.library").info("fetched %s in %d ms", "a page", 12, extra={"size": 5})
    (line,) = lines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", line.pop("timestamp"))
    assert line == {"event": "fetched a page in 12 ms", "size": 5, "logger": "some.library", "level": "info"}


async def test_every_line_of_a_run_names_its_job(lines: Lines) -> None:
    """Log through stdlib and structlog, in the consumer, a thread, a task and a thread of a task."""

    async def child() -> None:
        structlog.get_logger("app").info("in a task")
        await asyncio.to_thread(logging.getLogger("app").info, "in a thread of a task")

    async def consumer(job: Job) -> None:
        logging.getLogger("app").info("in the consumer")
        await asyncio.to_thread(structlog.get_logger("app").info, "in a thread")
        await asyncio.create_task(child())

    await outcome_of(consumer)
    logging.getLogger("app").info("outside")
    *inside, outside = lines()
    assert [line["event"] for line in inside] == [
        "in the consumer",
        "in a thread",
        "in a task",
        "in a thread of a task",
    ]
    assert [context_of(line) for line in inside] == [CONTEXT] * 4
    assert context_of(outside) == {}


async def test_two_runs_at_a_time_keep_their_lines_apart(lines: Lines) -> None:
    both = asyncio.Barrier(2)

    async def consumer(job: Job) -> None:
        await both.wait()
        logging.getLogger("app").info("mine is %s", job.name)

    await asyncio.gather(*(outcome_of(consumer, a_run(a_job(name=name, id=name))) for name in ("a", "b")))
    assert {(line["job_id"], line["event"]) for line in lines()} == {("a", "mine is a"), ("b", "mine is b")}


async def test_a_plain_function_of_a_real_queue_logs_with_its_job(harness: Harness, lines: Lines) -> None:
    def consumer(job: Job) -> None:
        logging.getLogger("app").warning("half way", extra={"rows": 3})

    await harness.processor(consumer)
    job_id = await harness.jobs.add("talk", {})
    await harness.settled(1)
    (line,) = [line for line in lines() if line["logger"] == "app"]
    assert context_of(line) == {"queue": QUEUE, "job_id": job_id, "job_name": "talk", "attempt": 1}
    assert line["rows"] == 3


def test_what_is_bound_with_structlog_is_on_its_lines(lines: Lines) -> None:
    with structlog.contextvars.bound_contextvars(tenant="acme"):
        structlog.get_logger("app").bind(step=2).info("bound %s", "too")
    (line,) = lines()
    assert (line["tenant"], line["step"], line["event"]) == ("acme", 2, "bound too")


def test_an_exception_is_logged_with_its_trace_and_without_its_secrets(lines: Lines) -> None:
    def fail(secret: str) -> None:
        try:
            raise ValueError(f"token={secret}")
        except ValueError as error:
            raise RuntimeError(f"password: {secret}") from error

    for log in (logging.getLogger("app"), structlog.get_logger("app")):
        try:
            fail(CANARY)
        except RuntimeError:
            log.exception("it failed")
    for line in lines():
        assert (line["event"], line["level"]) == ("it failed", "error")
        assert "ValueError: token=***" in line["exception"]
        assert "RuntimeError: password: ***" in line["exception"]
        assert "in fail" in line["exception"]
        assert CANARY not in str(line)


def test_a_warning_of_python_is_a_line(lines: Lines) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("this will go away", UserWarning, stacklevel=1)
    (line,) = lines()
    assert (line["logger"], line["level"]) == ("py.warnings", "warning")
    assert "this will go away" in line["event"]


@pytest.mark.parametrize("arguments", [("%d", CANARY), ("%s %s", CANARY)])
def test_a_line_that_cannot_be_formatted_is_reported_without_its_arguments(
    lines: Lines, capsys: pytest.CaptureFixture[str], arguments: tuple[Any, ...]
) -> None:
    log = logging.Logger("app")  # the handlers of the test runner would raise
    log.addHandler(next(one for one in logging.getLogger().handlers if isinstance(one, SinkHandler)))
    log.info(*arguments)
    (line,) = lines()
    assert (line["event"], line["logger"]) == (WORKER_ERRORS.LINE_UNREADABLE, "app")
    assert re.fullmatch(rf"{Path(__file__).name}:\d+", line["where"])
    assert CANARY not in str(line) + capsys.readouterr().err


def test_lines_below_the_level_are_left_out(stream: io.StringIO) -> None:
    configure_logging(Settings(http_port=None, log_level="WARNING"), stream)
    for log in (logging.getLogger("app"), structlog.get_logger("app")):
        log.info("no")
        log.warning("yes")
    sink_of(stream).drain()
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["yes", "yes"]


async def test_a_queue_with_its_own_level_logs_more_or_less_than_the_rest(lines: Lines) -> None:
    set_queue_level("loud", "DEBUG")
    set_queue_level("calm", "ERROR")

    async def consumer(job: Job) -> None:
        for level in (logging.DEBUG, logging.INFO, logging.ERROR):
            logging.getLogger("app").log(level, "line")

    for queue in ("loud", "calm", "usual"):
        await outcome_of(consumer, a_run(a_job(queue_name=queue)))
    consumer_of_none = logging.getLogger("app")
    consumer_of_none.debug("line")
    consumer_of_none.info("line")
    assert [(line.get("queue"), line["level"]) for line in lines() if line["logger"] == "app"] == [
        ("loud", "debug"),
        ("loud", "info"),
        ("loud", "error"),
        ("calm", "error"),
        ("usual", "info"),
        ("usual", "error"),
        (None, "info"),
    ]


def test_on_a_terminal_lines_are_formatted_for_reading(stream: io.StringIO) -> None:
    configure_logging(Settings(http_port=None, log_format="console"), stream)
    logging.getLogger("app").info("hello", extra={"rows": 3})
    sink_of(stream).drain()
    text = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue())
    assert "hello" in text
    assert "rows=3" in text


def test_a_blocked_stream_blocks_nobody(stream: io.StringIO) -> None:
    free = threading.Event()

    class Stuck(io.StringIO):
        def write(self, text: str) -> int:
            free.wait(30)
            return super().write(text)

    configure_logging(Settings(http_port=None), Stuck())
    for number in range(1000):
        logging.getLogger("app").info("line %d", number)
    free.set()
