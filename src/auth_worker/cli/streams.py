"""The standard streams of the command line, whatever state the shell has left them in."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import TextIO


class LenientStream(io.TextIOWrapper):
    """A stream for what is said beside the results: where it cannot be written, the command goes on without."""

    def write(self, text: str) -> int:
        """Write ``text`` if that is possible."""
        try:
            return super().write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        """Write what is held if that is possible."""
        with contextlib.suppress(OSError):  # the disk is full, or nobody reads
            super().flush()


def open_streams() -> None:
    """Have stdin, stdout and stderr open, and undecodable text replaced.

    A closed descriptor is opened on the null device, since the next socket would take its number and get what is
    meant for stderr. A stdin that was closed stays None.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass  # it takes the lowest free number
    os.close(descriptor)
    sys.stdout = sys.stdout or _text(1)
    sys.stderr = sys.stderr or _text(2)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    if type(sys.stderr) is io.TextIOWrapper:  # a test has one of its own
        sys.stderr = LenientStream(
            sys.stderr.detach(), encoding=sys.stderr.encoding, errors="replace", line_buffering=True
        )


def give_up_stdout() -> None:
    """Write nothing more to stdout: what it still holds would fail again when the interpreter ends."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)


def _text(descriptor: int) -> TextIO:
    return open(descriptor, "w", encoding="utf-8", errors="replace", closefd=False)
