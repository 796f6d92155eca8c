"""Detects when a worker process holds so much that it should be replaced.

Replacing it after a small fixed number of jobs would prevent leaks as well, but starting a process costs as much
as thousands of short jobs.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from pathlib import Path
from typing import NamedTuple

JOBS_PER_CHECK = 100
"""How many jobs run between two checks, and before the first: by then the process has loaded what it needs."""
MORE_BYTES = 128 * 2**20
MORE_FILES = 200
MORE_THREADS = 100
MORE_CHILDREN = 100
_UNIT = 1 if sys.platform == "darwin" else 1024
"""The unit of ``ru_maxrss``, in bytes. Source: getrusage(2)."""


class Held(NamedTuple):
    """What a process holds: its peak memory, open files, threads, and children.

    Adopted children count, and so do dead ones that nobody has waited for.
    """

    memory: int
    files: int
    threads: int
    children: int


class LeakDetector:
    """Compares what a worker process holds with what it held after its first jobs."""

    def __init__(self) -> None:
        self._jobs = 0
        self._first: Held | None = None

    def finds_leak(self) -> bool:
        """Count a job, and return whether the process leaks.

        It does if its memory has doubled since the first check, or hundreds of other things were left behind. Only
        every hundredth job is followed by a check.
        """
        self._jobs += 1
        if self._jobs % JOBS_PER_CHECK:
            return False
        now = held()
        first = self._first = self._first or now
        return (
            now.memory - first.memory > max(MORE_BYTES, first.memory)
            or now.files - first.files > MORE_FILES
            or now.threads - first.threads > MORE_THREADS
            or now.children - first.children > MORE_CHILDREN
        )


def held() -> Held:
    """Return what this process holds now."""
    import resource  # which Windows does not have

    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT
    return Held(memory, len(os.listdir("/dev/fd")), threading.active_count(), _children())


def _children() -> int:
    """Return the number of children, 0 if the system does not show it. Source: proc_pid_task(5)."""
    count = 0
    with contextlib.suppress(OSError):
        for children in Path("/proc/self/task").glob("*/children"):
            count += len(children.read_bytes().split())
    return count
