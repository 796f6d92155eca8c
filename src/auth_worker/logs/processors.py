"""What is done to each line: the job it belongs to is added, secrets are masked.

For an application that configures logging itself: ``add_job_context`` and ``redact_fields`` are processors for
structlog, ``JobContextFilter`` is a filter for a handler of stdlib ``logging``. A job pays nothing for them until
it logs a line.
"""

from __future__ import annotations

import logging
import sys
import textwrap
from collections.abc import Set as AbstractSet
from types import TracebackType
from typing import Any

from structlog.types import EventDict

from auth_worker.error_text import error_trace
from auth_worker.redaction import masked_field
from auth_worker.run import current_run
from auth_worker.terminal_text import visible, visible_lines

NAMES = frozenset(
    (
        "queue",
        "queues",
        "job_id",
        "job_ids",
        "job_name",
        "running",
        "worker",
        "dead_letter",
        "target",
        "trace_id",
        "message_id",
    )
)
"""Fields of the service's own lines that hold names and ids: an operator needs them as they are."""
SHOWN = NAMES | {"exception"}
"""``NAMES``, and a stack trace whose values are masked already."""


def job_context() -> dict[str, Any]:
    """The job that this code runs for: ``queue job_id job_name attempt``, and ``trace_id`` where there is one.

    Empty outside of runs. It holds in the consumer, in the thread of a plain ``def``, and in tasks they start.
    """
    run = current_run.get()
    if run is None:
        return {}
    job = run.job
    fields = {"queue": job.queue_name, "job_id": job.id, "job_name": job.name, "attempt": job.attempt}
    return {**fields, "trace_id": run.trace_id} if run.trace_id else fields


def add_job_context(logger: Any, method: str, fields: EventDict) -> EventDict:
    """A structlog processor: adds ``job_context()``; what the line itself says wins."""
    for name, value in job_context().items():
        fields.setdefault(name, value)
    return fields


class JobContextFilter(logging.Filter):
    """A filter that lets every record pass, and sets ``job_context()`` as attributes of it, for formatters.

    Add it to a handler: those of a logger do not see the lines of the loggers below. Outside of runs the
    attributes are there too, and empty, so that a format may name them.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Part of ``logging``."""
        known = {"queue": "", "job_id": "", "job_name": "", "attempt": "", "trace_id": "", **job_context()}
        for name, value in known.items():
            if not hasattr(record, name):
                setattr(record, name, value)
        return True


def redact_fields(logger: Any, method: str, fields: EventDict) -> EventDict:
    """A structlog processor: masks what may be secret in the message and in every field.

    The job's own context stays as it is. An exception (``exc_info``) becomes the text ``exception``, its messages
    masked. Put it before what renders.
    """
    context = job_context()
    return _masked(fields, {name for name in context if fields.get(name) == context[name]})


def redact_own_fields(logger: Any, method: str, fields: EventDict) -> EventDict:
    """``redact_fields`` for the service's own lines: ``SHOWN`` stay."""
    return _masked(fields, SHOWN)


class _Shown:
    """A value of a field as it is shown: the console renderer writes the ``repr`` of what is no text."""

    def __init__(self, value: Any) -> None:
        plain = isinstance(value, str) and not set(value) & set(" \t=\r\n\"'")
        self._text = visible(value if plain else repr(value))

    def __repr__(self) -> str:
        return self._text


def visible_fields(fields: EventDict) -> EventDict:
    """The fields of a line for the console: nothing in them gives the terminal an order, or forges a line."""
    return {visible(name): _visible_value(name, value) for name, value in fields.items()}


def _visible_value(name: str, value: Any) -> Any:
    if name in ("exception", "stack"):
        return textwrap.indent(visible_lines(value), "  ")  # an error's text may have a line like one of the log
    return visible(value) if name in ("event", "level", "logger", "logger_name", "timestamp") else _Shown(value)


def _masked(fields: EventDict, spared: AbstractSet[str]) -> EventDict:
    error = _error_of(fields.pop("exc_info", None))
    shown = {name: value if name in spared else masked_field(name, value) for name, value in fields.items()}
    return shown if error is None else {**shown, "exception": error_trace(error, _data_of_run())}


def _data_of_run() -> Any:
    run = current_run.get()
    return None if run is None else run.job.data


def _error_of(
    exc_info: bool | BaseException | tuple[type[BaseException], BaseException, TracebackType] | None,
) -> BaseException | None:
    """The exception meant by what a caller of a logger gives as ``exc_info``."""
    match exc_info:
        case BaseException():
            return exc_info
        case (_, BaseException() as error, _):
            return error
        case _ if exc_info:
            return sys.exc_info()[1]
    return None
