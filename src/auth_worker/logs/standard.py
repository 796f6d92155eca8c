"""Stdlib ``logging`` and structlog of a whole process in the form of the service's own lines.

``auth-worker run`` does this before it imports the application; whoever configures logging there wins.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import Any, NamedTuple, TextIO

import structlog
from structlog.types import EventDict

from auth_worker.config import Settings
from auth_worker.logs.opening import is_console, level_number, renderer
from auth_worker.logs.processors import add_job_context, redact_fields
from auth_worker.logs.sink import LineSink, share_streams, sink_of
from auth_worker.messages import WORKER_ERRORS
from auth_worker.run import current_run

_queue_levels: dict[str, int] = {}
"""Where a queue's consumer is to log more or less than the rest of the process."""


def configure_logging(settings: Settings, stream: TextIO | None = None) -> None:
    """Have stdlib ``logging`` and structlog write as the service does, to ``stream`` (None: stderr).

    Lines come out in the form and from the level of ``settings``, with the job they belong to, with secrets
    masked, and through the sink that never blocks. Handlers of the root logger are replaced.
    """
    stream = stream or sys.stderr
    handler = SinkHandler(sink_of(stream), settings)
    handler.setFormatter(_formatter(is_console(settings, stream)))
    root = logging.getLogger()
    for other in root.handlers[:]:
        root.removeHandler(other)
    root.addHandler(handler)
    root.setLevel(min([handler.usual_level, *_queue_levels.values()]))
    logging.captureWarnings(True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def set_queue_level(queue: str, level: str) -> None:
    """From now on write what is logged in the runs of ``queue`` from ``level`` on, whatever the settings say."""
    _queue_levels[queue] = level_number(level)
    root = logging.getLogger()
    if any(isinstance(handler, SinkHandler) for handler in root.handlers):
        root.setLevel(min(root.level, _queue_levels[queue]))


class LoggingSetup(NamedTuple):
    """What ``configure_logging`` and ``set_queue_level`` have set up in a process; it can be pickled."""

    settings: Settings
    queue_levels: dict[str, int]


def current_setup() -> LoggingSetup | None:
    """The setup of this process, to be repeated in one that it starts; None: the application has its own."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, SinkHandler):
            return LoggingSetup(handler.settings, dict(_queue_levels))
    return None


def repeat_setup(setup: LoggingSetup) -> None:
    """Log as the process does that has started this one, to the same stderr."""
    share_streams()
    _queue_levels.update(setup.queue_levels)
    configure_logging(setup.settings)


class SinkHandler(logging.StreamHandler[Any]):
    """Writes to a sink what is at or above the level: that of ``settings``, or of the queue in whose run it is."""

    def __init__(self, sink: LineSink, settings: Settings) -> None:
        super().__init__(sink)
        self.settings = settings
        self.usual_level = level_number(settings.log_level)

    def filter(self, record: logging.LogRecord) -> Any:
        """Part of ``logging``."""
        run = current_run.get() if _queue_levels else None
        level = self.usual_level if run is None else _queue_levels.get(run.job.queue_name, self.usual_level)
        return record.levelno >= level and super().filter(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """A line that cannot be made is told of; stdlib would show its arguments, on stderr."""
        told = logging.LogRecord(record.name, logging.ERROR, "", 0, WORKER_ERRORS.LINE_UNREADABLE, (), None)
        told.where = f"{record.filename}:{record.lineno}"  # a whole path may look like a secret
        with contextlib.suppress(Exception):
            self.stream.write(self.format(told) + self.terminator)


def _formatter(console: bool) -> structlog.stdlib.ProcessorFormatter:
    return structlog.stdlib.ProcessorFormatter(
        use_get_message=True,
        foreign_pre_chain=[structlog.stdlib.ExtraAdder()],
        processors=[_line, structlog.processors.TimeStamper(fmt="iso", utc=True), renderer(console)],
    )


def _line(logger: Any, method: str, fields: EventDict) -> EventDict:
    """Masked, with the job and the names that stdlib keeps in the record."""
    record = fields.pop("_record")
    del fields["_from_structlog"]
    line = add_job_context(logger, method, redact_fields(logger, method, fields))
    return {**line, "logger": record.name, "level": record.levelname.lower()}
