"""The log's sink: a full disk, a closed or a slow stream must neither block the work loop nor end it.

Lines go into a bounded queue, and a thread writes them; what does not fit or cannot be written is counted and
dropped.
"""

from __future__ import annotations

import atexit
import select
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import TextIO

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
            for part in _whole_lines(lines) if _shared else ("".join(lines),):
                try:
                    self._stream.write(part)
                    self._stream.flush()
                except Exception:
                    self.dropped += part.count("\n")


def share_streams() -> None:
    """Other processes write to the same streams: write no more at once than a pipe takes in one piece."""
    global _shared  # noqa: PLW0603 - it is so for the whole process
    _shared = True


def drain_streams() -> None:
    """Write what the sinks of this process hold; as ``LineSink.drain``."""
    for sink in _sinks.values():
        sink.drain()


def _whole_lines(lines: Iterable[str]) -> Iterator[str]:
    """``lines`` put together, as many as ``PIPE_BUF`` has room for; a longer line stays alone."""
    part: list[str] = []
    length = 0
    for line in lines:
        if part and length + len(line) > select.PIPE_BUF:
            yield "".join(part)
            part, length = [], 0
        part.append(line)
        length += len(line)
    yield "".join(part)


_shared = False
_sinks: dict[int, LineSink] = {}
"""By the identity of their stream, which they hold; a process has one or two."""


def sink_of(stream: TextIO) -> LineSink:
    """The one sink of a stream."""
    sink = _sinks.get(id(stream))
    if sink is None:
        sink = _sinks[id(stream)] = LineSink(stream)
    return sink
