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

from auth_worker.system.memory import resident_bytes

JOBS_PER_CHECK = 100
"""How many jobs run between two checks, and before the first: by then the process has loaded what it needs."""
MORE_BYTES = 128 * 2**20
MORE_FILES = 200
MORE_THREADS = 100
MORE_CHILDREN = 100
_UNIT = 1 if sys.platform == "darwin" else 1024
"""The unit of ``ru_maxrss``, in bytes. Source: getrusage(2)."""


class Held(NamedTuple):
    """What a process holds: memory in bytes, open files, threads, and children.

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

    def finds_leak(self, *, failed: bool) -> bool:
        """Count a job, which may have ``failed``, and return whether the process leaks.

        It does if its memory has doubled since the first check, if hundreds of other things were left behind, or
        if it can open no more files. Every hundredth job is followed by a check, and each that failed, since that
        may come from a leak, and the next job would fail as well.
        """
        self._jobs += 1
        is_due = self._jobs % JOBS_PER_CHECK == 0
        if not (is_due or failed):
            return False
        try:
            now = held()
        except OSError:
            return True
        if self._first is None:
            self._first = now if is_due else None
            return False
        first = self._first
        return (
            now.memory - first.memory > max(MORE_BYTES, first.memory)
            or now.files - first.files > MORE_FILES
            or now.threads - first.threads > MORE_THREADS
            or now.children - first.children > MORE_CHILDREN
        )


def held() -> Held:
    """Return what this process holds now. Raises ``OSError`` if it can open no more files."""
    files = _files()  # first, since the others fail in other ways then
    return Held(resident_bytes() or _peak_bytes(), files, threading.active_count(), _children())


def _peak_bytes() -> int:
    """Return the most memory that the process has held. Source: getrusage(2), ``ru_maxrss``."""
    import resource  # which Windows does not have

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT


def _files() -> int:
    """Return the number of open files, 0 if the system does not show it."""
    try:
        return len(os.listdir("/dev/fd"))
    except FileNotFoundError:
        return 0


def _children() -> int:
    """Return the number of children, 0 if the system does not show it. Source: proc_pid_task(5)."""
    count = 0
    with contextlib.suppress(OSError):
        for children in Path("/proc/self/task").glob("*/children"):
            count += len(children.read_bytes().split())
    return count
