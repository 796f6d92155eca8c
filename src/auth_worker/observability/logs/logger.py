"""The service's log: structlog, as JSON lines unless a terminal reads it; or the user's logger."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

import structlog

from auth_worker.core.terminal_text import ascii_json
from auth_worker.errors import ConfigurationError
from auth_worker.observability.logs.processors import add_job_context, redact_own_fields, visible_fields
from auth_worker.observability.logs.sink import LineSink, sink_of
from auth_worker.system.standard_streams import standard_error

if TYPE_CHECKING:
    from auth_worker.config import Settings  # a worker process logs without them


class Log(NamedTuple):
    """A logger, with the sink behind it if it is our own.

    ``lines`` is that sink if INFO lines may be written to it as JSON, past structlog. ``leveled`` creates the same
    log with another level (a number of ``logging``).
    """

    logger: Any
    lines: LineSink | None
    sink: LineSink | None
    leveled: Callable[[int], Log] | None = None

    def at(self, level: int) -> Log:
        """Return the log for lines of ``level`` and above. A logger of the user still filters as well."""
        return self if self.leveled is None else self.leveled(level)

    def drain(self) -> None:
        """Write the buffered lines."""
        if self.sink is not None:
            self.sink.drain()


def open_log(logger: Any, settings: Settings, stream: TextIO | None = None) -> Log:
    """Return the log to use: the user's logger (structlog, or stdlib wrapped into structlog), or our own.

    ``stream`` is where our own writes; None means stderr. Raises ``ConfigurationError`` if ``logger`` is not a
    logger.
    """
    if isinstance(logger, logging.Logger):
        return Log(_over(logger), None, None, lambda level: Log(_over(logger, level), None, None))
    if logger is not None:
        if not callable(getattr(logger, "info", None)):
            raise ConfigurationError(f"logger must be a structlog or stdlib logger, not {type(logger).__name__}")
        return Log(logger, None, None, lambda level: Log(_filtered(logger, level, [_as_called]), None, None))
    stream = stream or standard_error()
    return _own(sink_of(stream), is_console(settings.log_format, stream), level_number(settings.log_level))


def logger_of(logger: Any, settings: Settings, stream: TextIO | None = None) -> Any:
    """Return a logger like that of ``open_log`` for consumers: ours adds the running job and bound fields."""
    if logger is not None:
        return open_log(logger, settings).logger
    stream = stream or standard_error()
    level = level_number(settings.log_level)
    bound = [structlog.contextvars.merge_contextvars, add_job_context]
    return _own(sink_of(stream), is_console(settings.log_format, stream), level, bound).logger


def is_console(log_format: str, stream: TextIO) -> bool:
    """Whether lines are written for people: by the setting or, if it leaves that open, on a terminal."""
    return log_format == "console" or (log_format == "auto" and stream.isatty())


def level_number(name: str) -> int:
    """Return the number that ``logging`` gives the level."""
    return logging.getLevelNamesMapping()[name]


def renderer(console: bool) -> Any:
    """Return the processor that renders the fields of an event as a line."""
    if not console:
        return structlog.processors.JSONRenderer(serializer=ascii_json)
    render = structlog.dev.ConsoleRenderer()
    return lambda logger, method, fields: render(logger, method, visible_fields(fields))


class _SinkLogger:
    """The logger beneath structlog. structlog's own has a lock, which a forked child may inherit locked."""

    def __init__(self, sink: LineSink) -> None:
        self._write = sink.write

    def msg(self, message: str) -> None:
        self._write(message + "\n")

    log = debug = info = warning = error = critical = exception = msg


def _own(sink: LineSink, console: bool, level: int, context: Sequence[Any] = ()) -> Log:
    """Build our own log. Without ``context`` it adds no running job: the service's lines may be about any job."""
    processors = [
        *context,
        redact_own_fields,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        renderer(console),
    ]
    own = _filtered(_SinkLogger(sink), level, processors)
    fast = None if console or level > logging.INFO else sink
    return Log(own, fast, sink, lambda level: _own(sink, console, level))


def _over(logger: logging.Logger, level: int = logging.NOTSET) -> Any:
    """Wrap a stdlib logger to accept fields."""
    return _filtered(logger, level, [structlog.stdlib.filter_by_level, structlog.stdlib.render_to_log_kwargs])


def _filtered(logger: Any, level: int, processors: list[Any]) -> Any:
    return structlog.wrap_logger(
        logger,
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )


def _as_called(logger: Any, method: str, fields: structlog.types.EventDict) -> tuple[tuple[Any], dict[str, Any]]:
    """Pass the message and its fields on to the underlying logger."""
    return (fields.pop("event"),), dict(fields)
