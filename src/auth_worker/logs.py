"""How the service logs: structlog, JSON lines unless a person is watching, written by a thread of their own.

A full disk, a closed or a slow sink must neither block the work loop nor end it: lines go into a bounded queue,
what does not fit or cannot be written is counted and dropped.
"""

from __future__ import annotations

import atexit
import logging
import sys
import threading
import time
from collections import deque
from typing import Any, NamedTuple, TextIO

import structlog

from auth_worker.config import Settings
from auth_worker.errors import ConfigurationError

LINES_HELD = 50_000
GATHER_S = 0.02
"""How long the writer waits for more lines to write at once."""


class LineSink:
    """A text stream that never blocks and never raises: a thread writes to ``stream`` what it is given."""

    def __init__(self, stream: TextIO, lines_held: int = LINES_HELD) -> None:
        self._stream = stream
        self._lines: deque[str] = deque()
        self._lines_held = lines_held
        self._pending = threading.Event()
        self._writing = threading.Lock()
        self.dropped = 0
        """How many lines were lost, because the stream was too slow or broken."""
        threading.Thread(target=self._run, name="auth-worker-log", daemon=True).start()
        atexit.register(self.drain)

    def write(self, line: str) -> None:
        """Take a line, with its line end."""
        if len(self._lines) >= self._lines_held:
            self.dropped += 1
            return
        self._lines.append(line)
        if not self._pending.is_set():
            self._pending.set()

    def flush(self) -> None:
        """Nothing to do: lines are written soon; ``drain`` waits for them."""

    def drain(self, timeout: float = 2.0) -> None:
        """Write what is held now; gives up after ``timeout`` s where the stream blocks."""
        writer = threading.Thread(target=self._write_all, name="auth-worker-log-drain", daemon=True)
        try:
            writer.start()
        except RuntimeError:  # the interpreter is ending: no more threads
            self._write_all()
        else:
            writer.join(timeout)

    def _run(self) -> None:
        while True:
            self._pending.wait()
            time.sleep(GATHER_S)
            self._pending.clear()
            self._write_all()

    def _write_all(self) -> None:
        with self._writing:
            lines = [self._lines.popleft() for _ in range(len(self._lines))]
            if not lines:
                return
            try:
                self._stream.write("".join(lines))
                self._stream.flush()
            except Exception:
                self.dropped += len(lines)


_sinks: dict[int, LineSink] = {}
"""By the identity of their stream, which they hold; a process has one or two."""


def _sink_of(stream: TextIO) -> LineSink:
    """The one sink of a stream."""
    sink = _sinks.get(id(stream))
    if sink is None:
        sink = _sinks[id(stream)] = LineSink(stream)
    return sink


class Log(NamedTuple):
    """A logger; ``lines`` is where it writes JSON lines at level INFO and below, if it is ours and does so."""

    logger: Any
    lines: LineSink | None
    sink: LineSink | None

    def drain(self) -> None:
        """Write what is held."""
        if self.sink is not None:
            self.sink.drain()


def open_log(logger: Any, settings: Settings, stream: TextIO | None = None) -> Log:
    """The log to use: the user's logger (structlog, or stdlib wrapped into structlog), or one of our own.

    ``stream`` is where our own writes to; None means stderr.
    """
    if isinstance(logger, logging.Logger):
        wrapped = structlog.wrap_logger(
            logger,
            processors=[structlog.stdlib.filter_by_level, structlog.stdlib.render_to_log_kwargs],
            wrapper_class=structlog.stdlib.BoundLogger,
        )
        return Log(wrapped, None, None)
    if logger is not None:
        if not callable(getattr(logger, "info", None)):
            raise ConfigurationError(f"logger must be a structlog or stdlib logger, not {type(logger).__name__}")
        return Log(logger, None, None)
    stream = stream or sys.stderr
    console = settings.log_format == "console" or (settings.log_format == "auto" and stream.isatty())
    level = logging.getLevelNamesMapping()[settings.log_level]
    sink = _sink_of(stream)
    renderer: Any = structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer()
    own = structlog.wrap_logger(
        structlog.WriteLogger(sink),  # type: ignore[arg-type] # it writes and flushes, more is not asked
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    return Log(own, None if console or level > logging.INFO else sink, sink)


def logger_of(logger: Any, settings: Settings, stream: TextIO | None = None) -> Any:
    """The logger of ``open_log``."""
    return open_log(logger, settings, stream).logger
