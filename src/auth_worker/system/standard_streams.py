"""The standard streams of a process that was started without some of them."""

from __future__ import annotations

import os
import sys
from typing import TextIO


def fill_standard_descriptors() -> None:
    """Open the null device on each of the descriptors 0 to 2 that is closed, for this process and its programs.

    Otherwise the next socket or file would take the number, and get what is meant for stderr.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # it takes the lowest free one
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def standard_error() -> TextIO:
    """Return stderr, or the null device where the process was started without."""
    global _null  # noqa: PLW0603 - one for the whole process
    if sys.stderr is not None:
        return sys.stderr
    if _null is None:
        fill_standard_descriptors()
        _null = open(2, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    return _null


_null: TextIO | None = None
