"""Makes the standard streams usable, even if the shell has closed them or they cannot be written to."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import TextIO

from auth_worker.system.standard_streams import fill_standard_descriptors


class LenientStream(io.TextIOWrapper):
    """A stream for notes: if it cannot be written to, the command goes on without them."""

    def write(self, text: str) -> int:
        """Write ``text``, if possible."""
        try:
            return super().write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        """Write what is buffered, if possible."""
        with contextlib.suppress(OSError):  # the disk is full, or the reader is gone
            super().flush()


def open_streams() -> None:
    """Open stdin, stdout and stderr if they are closed; characters they cannot encode are replaced.

    ``sys.stdin`` stays None if stdin was closed.
    """
    fill_standard_descriptors()
    sys.stdout = sys.stdout or _text(1)
    sys.stderr = sys.stderr or _text(2)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    if type(sys.stderr) is io.TextIOWrapper:  # a test may have put its own there
        sys.stderr = LenientStream(
            sys.stderr.detach(), encoding=sys.stderr.encoding, errors="replace", line_buffering=True
        )


def discard_stdout() -> None:
    """Discard what stdout still buffers: writing it would fail again when the interpreter ends."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)


def _text(descriptor: int) -> TextIO:
    return open(descriptor, "w", encoding="utf-8", errors="replace", closefd=False)
