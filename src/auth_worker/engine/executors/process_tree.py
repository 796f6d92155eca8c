"""Kills a process together with the programs it has started, even those that have left its process group.

A program in a session of its own (``setsid``) has left the process group, and a daemon has lost its parent. They
are found in ``/proc`` all the same: as descendants, since a worker process adopts what has lost its parent; or,
once it is dead, by a mark, an environment variable that every program inherits. Jenkins ends a build's programs in
this way. Only a daemon that has cleared or overwritten its environment outlives a worker process that crashes.

Other systems have no ``/proc``: there the process group ends, and nothing else.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from typing import NamedTuple

MARK = "_AUTH_WORKER_PROCESS"
"""The environment variable. It is no setting, so it does not start as those do."""
MOST_ROUNDS = 100
_PR_SET_CHILD_SUBREAPER = 36


class Running(NamedTuple):
    """A process, and whether it has the mark."""

    pid: int
    parent: int
    is_marked: bool


def stop_group(leader: int) -> None:
    """Stop the process group of ``leader``. Call ``end_programs`` next.

    On Linux it is stopped, so that no program loses its parent before it is found; elsewhere it is killed.
    """
    _signal_group(leader, signal.SIGSTOP if sys.platform == "linux" else signal.SIGKILL)


def adopt_orphans() -> None:
    """Make this process the parent of all its descendants that lose their own, on Linux.

    Source: PR_SET_CHILD_SUBREAPER(2const).
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_programs(leader: int | None, mark: str) -> None:
    """Kill the process group of ``leader``, its descendants, and every process that has ``mark``.

    ``leader`` must not be reaped meanwhile, since its id could become another's; None where it was.
    """
    try:
        end_descendants(leader, mark)
    finally:
        if leader is not None:
            _signal_group(leader, signal.SIGKILL)


def end_descendants(leader: int | None, mark: str) -> None:
    """Kill the descendants of ``leader``, and every other process that has ``mark``.

    Each is stopped when it is found: so it starts no other one, and keeps its id until it is killed.
    """
    found: set[int] = set()
    for _ in range(MOST_ROUNDS if sys.platform == "linux" else 0):
        new = set(_programs(leader, mark)) - found
        if not new:
            break
        for pid in new:
            _signal(pid, signal.SIGSTOP)
        found |= new
    for pid in found:
        _signal(pid, signal.SIGKILL)


def _programs(leader: int | None, mark: str) -> Iterator[int]:
    """Return the descendants of ``leader``, all processes with ``mark`` and theirs, without ``leader``."""
    running = list(_all_running(f"{MARK}={mark}".encode()))
    children: dict[int, list[int]] = {}
    for each in running:
        children.setdefault(each.parent, []).append(each.pid)
    left = [each.pid for each in running if each.is_marked]
    left += [] if leader is None else children.get(leader, [])
    seen = {leader}
    while left:
        pid = left.pop()
        if pid not in seen:
            seen.add(pid)
            yield pid
            left += children.get(pid, [])


def _all_running(entry: bytes) -> Iterator[Running]:
    """Return all running processes of the machine. Those of this user that have ``entry`` are marked.

    None where ``/proc`` cannot be read, as when this process has no descriptor left. Source: proc(5), ``stat`` and
    ``environ``.
    """
    try:
        names = os.listdir("/proc")
    except OSError:
        return
    for name in filter(str.isdigit, names):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            state, parent, *_ = _read(f"/proc/{name}/stat").rpartition(b")")[2].split()
            if state not in (b"Z", b"X"):
                yield Running(int(name), int(parent), entry in _environment(name))


def _environment(name: str) -> bytes:
    try:
        return _read(f"/proc/{name}/environ")
    except OSError:  # another user's
        return b""


def _read(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return file.readall()


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _signal_group(leader: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: no permission for zombies
        os.killpg(leader, number)
