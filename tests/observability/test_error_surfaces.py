"""A failed job on a real queue: no place that reports its error shows a value of its data."""

from __future__ import annotations

import io
import json
import logging
import re
from typing import Any

import pytest
from pydantic import BaseModel

from auth_worker import Job
from auth_worker.config import Settings
from auth_worker.events import JobFailed, JobRetried
from auth_worker.observability.logs import open_log
from auth_worker.observability.logs.sink import sink_of
from support.log_capture import lines_of
from support.process_consumers import validate_customer
from support.processors import QUEUE, Harness
from support.telemetry_capture import Traces

SECRET = "hunter2"
FIELD = "customer_id"


class Customer(BaseModel):
    """A model that the job's data is validated with."""

    customer_id: int


async def validate(job: Job) -> None:
    Customer.model_validate(job.data)


async def convert(job: Job) -> None:
    try:
        int(job.data[FIELD])
    except ValueError as error:
        error.add_note(f"of {job.data}")
        logging.getLogger("app").exception("cannot convert")
        raise RuntimeError("the import failed") from error


async def look_up(job: Job) -> None:
    {}[job.data[FIELD]]


async def group(job: Job) -> None:
    raise ExceptionGroup("both", [ValueError(f"{job.data!r}"), KeyError(job.data[FIELD])])


async def parse(job: Job) -> None:
    """Raise an error that holds the whole text as ``doc``."""
    json.loads(f'{{"password": {job.data[FIELD]}}}')


CONSUMERS = [
    (parse, "auto"),
    (validate, "auto"),
    (convert, "auto"),
    (look_up, "auto"),
    (group, "auto"),
    (validate_customer, "process"),
]


@pytest.mark.parametrize(("consumer", "execution"), CONSUMERS, ids=lambda value: getattr(value, "__name__", value))
@pytest.mark.parametrize("form", ["json", "console"])
async def test_no_value_of_the_data_is_in_what_a_failed_job_reports(
    harness: Harness, traces: Traces, consumer: Any, execution: Any, form: Any
) -> None:
    stream = io.StringIO()
    log = open_log(None, Settings(http_port=None, log_format=form), stream)
    processor = await harness.processor(consumer, logger=log.logger, execution=execution)
    seen: list[Any] = []
    for kind in (JobRetried, JobFailed):
        processor.runtime.bus.subscribe(kind, seen.append)
    await harness.jobs.add("welcome", {FIELD: SECRET}, job_id="one", attempts=2, backoff=1)
    await harness.settled(1)
    job, (letter,) = await harness.job("one"), await harness.dead_letters()
    sink_of(stream).drain()
    (*_, span) = traces.named(f"process {QUEUE}")
    said = [job["failedReason"], job["stacktrace"], letter["failedReason"], *letter["stacktrace"]]
    said += [str(span.status.description), *(str(event.attributes) for event in span.events)]
    said += [stream.getvalue(), *(f"{event.reason} {event.stack}" for event in seen)]
    for text in said:
        assert text
        assert SECRET not in text
    assert letter["reasonClass"] == ("invalid_payload" if "validate" in consumer.__name__ else "exhausted")
    assert len(seen) == (1 if "validate" in consumer.__name__ else 2)


async def test_a_failure_is_logged_with_its_type_and_one_traceback_for_each_attempt(harness: Harness) -> None:
    stream = io.StringIO()
    log = open_log(None, Settings(http_port=None), stream)

    async def consumer(job: Job) -> None:
        if job.name == "bad":
            job.data["customer_name"]

    await harness.processor(consumer, logger=log.logger)
    await harness.jobs.add("bad", {}, attempts=2, backoff=1)
    await harness.jobs.add("good", {})
    await harness.settled(2)
    lines = lines_of(stream, log)
    failures = [line for line in lines if line.get("outcome") in ("retried", "failed")]
    assert [line["error_type"] for line in failures] == ["KeyError", "KeyError"]
    for line in failures:
        assert line["error"] == "'customer_name'"
        assert line["exception"].endswith("KeyError: 'customer_name'\n")
        assert "in consumer" in line["exception"]
        assert len(line["exception"]) <= 8192
    assert not [line for line in lines if line not in failures and ("exception" in line or "error_type" in line)]


async def test_on_a_terminal_the_traceback_follows_its_line(harness: Harness) -> None:
    stream = io.StringIO()
    log = open_log(None, Settings(http_port=None, log_format="console"), stream)
    await harness.processor(look_up, logger=log.logger)
    await harness.jobs.add("bad", {FIELD: SECRET}, attempts=1)
    await harness.settled(1)
    log.drain()
    shown = stream.getvalue()
    assert re.search(r"\n *Traceback \(most recent call last\):\n", shown)
    assert json.dumps(SECRET) not in shown
