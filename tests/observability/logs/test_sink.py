"""The sink of the log: whatever happens to the stream, the worker neither blocks nor ends."""

from __future__ import annotations

import io
import threading
import time

import pytest

from auth_worker.config import Settings
from auth_worker.observability.logs import LineSink, logger_of, open_log


class Stuck(io.StringIO):
    """A stream that blocks until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.free = threading.Event()
        self.reached = threading.Event()

    def write(self, text: str) -> int:
        self.reached.set()
        assert self.free.wait(10)
        return super().write(text)


class Broken(io.StringIO):
    """A stream whose reader has gone, or whose disk is full."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def write(self, text: str) -> int:
        raise self.error


def test_lines_arrive_in_order() -> None:
    stream = io.StringIO()
    sink = LineSink(stream)
    for number in range(1000):
        sink.write(f"{number}\n")
    sink.flush()
    sink.drain()
    assert stream.getvalue().split() == [str(number) for number in range(1000)]
    assert sink.dropped == 0


def test_lines_arrive_without_a_drain() -> None:
    written = threading.Event()

    class Watched(io.StringIO):
        def flush(self) -> None:
            written.set()

    sink = LineSink(Watched())
    sink.write("a\n")
    assert written.wait(5)


def test_a_stuck_stream_delays_nobody_and_dropped_lines_are_counted() -> None:
    stream = Stuck()
    sink = LineSink(stream, lines_held=10)
    sink.write("first\n")
    assert stream.reached.wait(5)
    started = time.monotonic()
    for number in range(15):
        sink.write(f"{number}\n")
    sink.drain(timeout=0.05)
    assert time.monotonic() - started < 2
    assert sink.dropped == 5
    stream.free.set()
    sink.drain(timeout=5)
    assert stream.getvalue().split() == ["first", *(str(number) for number in range(10))]


@pytest.mark.parametrize(
    "error", [BrokenPipeError("gone"), OSError(28, "no space left"), ValueError("closed file")]
)
def test_a_broken_stream_loses_lines_and_counts_them(error: Exception) -> None:
    stream = Broken(error)
    sink = LineSink(stream)
    for _ in range(3):
        sink.write("a\n")
    sink.drain()
    assert sink.dropped == 3


def test_loggers_of_one_stream_share_its_sink() -> None:
    stream = io.StringIO()
    settings = Settings(http_port=None)
    assert open_log(None, settings, stream).sink is open_log(None, settings, stream).sink
    logger_of(None, settings, stream).info("hello")
    log = open_log(None, settings, stream)
    log.drain()
    assert '"event": "hello"' in stream.getvalue()
