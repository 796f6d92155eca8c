"""How the service logs: structlog, JSON lines unless a person is watching."""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO

import structlog

from auth_worker.config import Settings


def logger_of(logger: Any, settings: Settings, stream: TextIO | None = None) -> Any:
    """The logger to use: the user's (structlog, or stdlib wrapped into structlog), or one of our own.

    ``stream`` is where our own writes to; None means stderr.
    """
    if isinstance(logger, logging.Logger):
        return structlog.wrap_logger(
            logger,
            processors=[structlog.stdlib.filter_by_level, structlog.stdlib.render_to_log_kwargs],
            wrapper_class=structlog.stdlib.BoundLogger,
        )
    if logger is not None:
        return logger
    stream = stream or sys.stderr
    console = settings.log_format == "console" or (settings.log_format == "auto" and stream.isatty())
    renderer: Any = structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer()
    return structlog.wrap_logger(
        structlog.PrintLogger(stream),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[settings.log_level]),
        cache_logger_on_first_use=True,
    )
