"""Processors of log lines: they add the job that a line belongs to, and mask secrets.

For an application that configures logging itself, ``add_job_context`` and ``redact_fields`` are processors for
structlog, and ``JobContextFilter`` is a filter for a handler of stdlib ``logging``. They cost a job nothing until
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

from auth_worker.core.error_text import error_trace
from auth_worker.core.redaction import masked_field
from auth_worker.core.run import current_run
from auth_worker.core.terminal_text import visible, visible_lines

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
"""Fields of the service's own lines that hold names and ids, which operators need as they are."""
SHOWN = NAMES | {"exception"}
"""``NAMES``, and a stack trace whose values are masked already."""


def job_context() -> dict[str, Any]:
    """Return the job that this code runs for: ``queue job_id job_name attempt``, and ``trace_id`` if there is one.

    Empty outside of runs. It works in the consumer, in the thread of a plain ``def``, and in tasks they start.
    """
    run = current_run.get()
    if run is None:
        return {}
    job = run.job
    fields = {"queue": job.queue_name, "job_id": job.id, "job_name": job.name, "attempt": job.attempt}
    return {**fields, "trace_id": run.trace_id} if run.trace_id else fields


def add_job_context(logger: Any, method: str, fields: EventDict) -> EventDict:
    """A structlog processor that adds ``job_context()``. It replaces no field of the line."""
    for name, value in job_context().items():
        fields.setdefault(name, value)
    return fields


class JobContextFilter(logging.Filter):
    """A filter that passes every record and sets ``job_context()`` as its attributes, for formatters.

    Add it to a handler: filters of a logger do not see the records of its descendants. Outside of runs the
    attributes exist too, and are empty, so that a format may name them.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Set the attributes. Called by ``logging``."""
        known = {"queue": "", "job_id": "", "job_name": "", "attempt": "", "trace_id": "", **job_context()}
        for name, value in known.items():
            if not hasattr(record, name):
                setattr(record, name, value)
        return True


def redact_fields(logger: Any, method: str, fields: EventDict) -> EventDict:
    """A structlog processor that masks what may be secret in the message and in every field.

    The job's own context stays as it is. An exception (``exc_info``) becomes the text ``exception``, its messages
    masked. Put it before the renderer.
    """
    context = job_context()
    return _masked(fields, {name for name in context if fields.get(name) == context[name]})


def redact_own_fields(logger: Any, method: str, fields: EventDict) -> EventDict:
    """Apply ``redact_fields`` to the service's own lines, except for the fields ``SHOWN``."""
    return _masked(fields, SHOWN)


class _Shown:
    """A field's value as it is shown: the console renderer writes the ``repr`` of what is not text."""

    def __init__(self, value: Any) -> None:
        plain = isinstance(value, str) and not set(value) & set(" \t=\r\n\"'")
        self._text = visible(value if plain else repr(value))

    def __repr__(self) -> str:
        return self._text


def visible_fields(fields: EventDict) -> EventDict:
    """Make the fields of a line safe for the console, so that none can control the terminal or forge a line."""
    return {visible(name): _visible_value(name, value) for name, value in fields.items()}


def _visible_value(name: str, value: Any) -> Any:
    if name in ("exception", "stack"):
        return textwrap.indent(
            visible_lines(value), "  "
        )  # an error's text may contain a line like one of the log
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
    """Return the exception that a logger's caller means by ``exc_info``."""
    match exc_info:
        case BaseException():
            return exc_info
        case (_, BaseException() as error, _):
            return error
        case _ if exc_info:
            return sys.exc_info()[1]
    return None
