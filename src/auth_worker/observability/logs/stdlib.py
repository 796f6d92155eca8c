"""Formats stdlib ``logging`` and structlog of the whole process like the service's own lines.

``auth-worker run`` does this before it imports the application, which may still configure logging its own way.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

import structlog
from structlog.types import EventDict

from auth_worker.core.run import current_run
from auth_worker.messages import WORKER_ERRORS
from auth_worker.observability.logs.logger import is_console, level_number, renderer
from auth_worker.observability.logs.processors import add_job_context, redact_fields
from auth_worker.observability.logs.sink import LineSink, share_streams, sink_of
from auth_worker.system.standard_streams import standard_error

if TYPE_CHECKING:
    from auth_worker.config import Settings

_queue_levels: dict[str, int] = {}
"""The log levels of queues that differ from the rest of the process."""


def configure_logging(settings: Settings, stream: TextIO | None = None) -> None:
    """Make stdlib ``logging`` and structlog write as the service does, to ``stream`` (None: stderr).

    Lines have the format and minimum level of ``settings``, name the job they belong to, have secrets masked, and
    go through the sink that never blocks. Handlers of the root logger are replaced.
    """
    _configure(settings.log_format, settings.log_level, stream or standard_error())


def _configure(log_format: str, log_level: str, stream: TextIO) -> None:
    handler = SinkHandler(sink_of(stream), log_format, log_level)
    handler.setFormatter(_formatter(is_console(log_format, stream)))
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
    """Log the runs of ``queue`` from ``level`` on, whatever the settings say."""
    _queue_levels[queue] = level_number(level)
    root = logging.getLogger()
    if any(isinstance(handler, SinkHandler) for handler in root.handlers):
        root.setLevel(min(root.level, _queue_levels[queue]))


class LoggingSetup(NamedTuple):
    """The logging that ``configure_logging`` and ``set_queue_level`` have set up in a process. Can be pickled.

    ``log_format`` and ``log_level`` are as in the settings.
    """

    log_format: str
    log_level: str
    queue_levels: dict[str, int]


def current_setup() -> LoggingSetup | None:
    """Return the setup of this process, to repeat in a child process. None if the application has its own."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, SinkHandler):
            return LoggingSetup(handler.log_format, handler.log_level, dict(_queue_levels))
    return None


def repeat_setup(setup: LoggingSetup) -> None:
    """Set up logging as in the parent process, to the same stderr."""
    share_streams()
    _queue_levels.update(setup.queue_levels)
    _configure(setup.log_format, setup.log_level, standard_error())


class SinkHandler(logging.StreamHandler[Any]):
    """Writes records to a sink from a level on: ``log_level``, or that of the queue whose run logs them."""

    def __init__(self, sink: LineSink, log_format: str, log_level: str) -> None:
        super().__init__(sink)
        self.log_format = log_format
        self.log_level = log_level
        self.usual_level = level_number(log_level)

    def filter(self, record: logging.LogRecord) -> Any:
        """Apply the level. Called by ``logging``."""
        run = current_run.get() if _queue_levels else None
        level = self.usual_level if run is None else _queue_levels.get(run.job.queue_name, self.usual_level)
        return record.levelno >= level and super().filter(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Report a line that cannot be formatted. stdlib would print its arguments to stderr."""
        fallback = logging.LogRecord(record.name, logging.ERROR, "", 0, WORKER_ERRORS.LINE_UNREADABLE, (), None)
        fallback.where = f"{record.filename}:{record.lineno}"  # a whole path may look like a secret
        with contextlib.suppress(Exception):
            self.stream.write(self.format(fallback) + self.terminator)


def _formatter(console: bool) -> structlog.stdlib.ProcessorFormatter:
    return structlog.stdlib.ProcessorFormatter(
        use_get_message=True,
        foreign_pre_chain=[structlog.stdlib.ExtraAdder()],
        processors=[_line, structlog.processors.TimeStamper(fmt="iso", utc=True), renderer(console)],
    )


def _line(logger: Any, method: str, fields: EventDict) -> EventDict:
    """Mask a line's fields, and add the job and the names that stdlib keeps in the record."""
    record = fields.pop("_record")
    del fields["_from_structlog"]
    line = add_job_context(logger, method, redact_fields(logger, method, fields))
    return {**line, "logger": record.name, "level": record.levelname.lower()}
