"""The sink of the log: keeps a full disk and a closed or slow stream from blocking or ending the work loop.

Lines go into a bounded queue, and a thread writes them. Lines that do not fit or cannot be written are counted and
dropped.
"""

from __future__ import annotations

import atexit
import contextlib
import select
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

from auth_worker.system.forks import call_around_fork

LINES_HELD = 50_000
"""How many lines may wait for the writer. Further ones are dropped."""
GATHER_S = 0.02
"""How long (s) the writer waits for more lines to write at once."""
HOLD_S = 0.2
"""How long (s) a fork waits for the writer, so that the child can use the stream."""
LAST = -100
"""The priority of a finalizer that ``multiprocessing`` runs last."""
_all_sinks: weakref.WeakSet[LineSink] = weakref.WeakSet()
_forking = threading.local()


class LineSink:
    """A text stream that never blocks and never raises: a thread writes the lines to ``stream``.

    The thread starts with the first line, in a forked child too.
    """

    def __init__(self, stream: TextIO, lines_held: int = LINES_HELD) -> None:
        self._stream = stream
        self._lines_held = lines_held
        self._begin()
        _all_sinks.add(self)
        atexit.register(self.drain)

    def _begin(self) -> None:
        self._lines: deque[str] = deque()
        self._pending = threading.Event()
        self._writing = threading.Lock()
        self._writer: threading.Thread | None = None
        self.dropped = 0
        """The number of lines lost because the stream was too slow or broken."""

    def write(self, line: str) -> None:
        """Accept a line, including its line end."""
        if len(self._lines) >= self._lines_held:
            self.dropped += 1
            return
        self._lines.append(line)
        if not self._pending.is_set():
            if self._writer is None:
                self._start_writer()
            self._pending.set()

    def flush(self) -> None:
        """Do nothing. Lines are written soon; ``drain`` waits for them."""

    def drain(self, timeout: float = 2.0) -> None:
        """Write the buffered lines. Gives up after ``timeout`` s if the stream blocks."""
        if self._is_empty():
            return
        writer = threading.Thread(target=self._write_all, name="auth-worker-log-drain", daemon=True)
        try:
            writer.start()
        except RuntimeError:  # the interpreter is exiting and starts no thread
            self._write_all()
        else:
            writer.join(timeout)

    def _is_empty(self) -> bool:
        """Whether every line is written."""
        if not self._writing.acquire(blocking=False):
            return False
        try:
            return not self._lines
        finally:
            self._writing.release()

    def hold(self, timeout: float) -> bool:
        """Pause writing until ``let_go``. Returns whether the writer could be paused within ``timeout`` s."""
        return self._writing.acquire(timeout=timeout)

    def let_go(self) -> None:
        """Resume writing after ``hold``."""
        self._writing.release()

    def begin_in_child(self, *, was_held: bool) -> None:
        """Reset in a forked child: the buffered lines are the parent's.

        Unless the parent held the sink, its thread may have been writing during the fork. The stream may then be
        locked, or have lines in its buffer, and is replaced.
        """
        self._begin()
        if not was_held:
            with contextlib.suppress(OSError, ValueError, AttributeError):  # not a stream of the operating system
                stream = self._stream
                options: dict[str, Any] = {"encoding": stream.encoding, "errors": stream.errors}
                self._stream = open(stream.fileno(), "w", closefd=False, **options)  # noqa: SIM115

    def _start_writer(self) -> None:
        """Start the writer. Two threads that call this at once start two writers, which take turns."""
        self._writer = threading.Thread(target=self._run, name="auth-worker-log", daemon=True)
        with contextlib.suppress(RuntimeError):  # the interpreter is exiting: ``drain`` writes the buffered lines
            self._writer.start()
        util = sys.modules.get("multiprocessing.util")
        if util is not None:  # its processes end without ``atexit``
            util.Finalize(None, self.drain, exitpriority=LAST)

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
            for part in _whole_lines(lines) if _shared else ("".join(lines),):
                try:
                    self._stream.write(part)
                    self._stream.flush()
                except Exception:
                    self.dropped += part.count("\n")


def share_streams() -> None:
    """Limit each write to what a pipe takes in one piece, since other processes write to the same streams."""
    global _shared  # noqa: PLW0603 - it is so for the whole process
    _shared = True


def drain_streams() -> None:
    """Write the buffered lines of this process, as ``LineSink.drain``."""
    for sink in _sinks.values():
        sink.drain()


def _whole_lines(lines: Iterable[str]) -> Iterator[str]:
    """Join ``lines`` up to the size of ``PIPE_BUF``. A longer line stays alone."""
    part: list[str] = []
    length = 0
    for line in lines:
        if part and length + len(line) > select.PIPE_BUF:
            yield "".join(part)
            part, length = [], 0
        part.append(line)
        length += len(line)
    yield "".join(part)


def _hold_sinks() -> None:
    """Let each writer finish its current write before a fork, unless its stream blocks."""
    _forking.held = [sink for sink in list(_all_sinks) if sink.hold(HOLD_S)]


def _let_sinks_go() -> None:
    for sink in _forking.held:
        sink.let_go()
    share_streams()


def _begin_sinks_in_child() -> None:
    for sink in list(_all_sinks):
        sink.begin_in_child(was_held=sink in _forking.held)
    share_streams()


call_around_fork(before=_hold_sinks, in_parent=_let_sinks_go, in_child=_begin_sinks_in_child)

_shared = False
_sinks: dict[int, LineSink] = {}
"""By the identity of their stream, which they keep alive. A process has one or two."""


def sink_of(stream: TextIO) -> LineSink:
    """Return the sink of a stream, always the same one."""
    sink = _sinks.get(id(stream))
    if sink is None:
        sink = _sinks[id(stream)] = LineSink(stream)
    return sink
