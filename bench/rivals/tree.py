"""What processes and all their descendants use. A descendant may have a session of its own."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

TICKS_S = os.sysconf("SC_CLK_TCK")
FIRST_TIME = 11
"""Where the CPU times begin behind the name in ``/proc/PID/stat``: two of the process, two of ended children."""


def memory_mb(pids: Iterable[int]) -> float:
    """Their proportional memory, in MB: what several share is divided among them."""
    return sum(_proportional_kb(pid) for pid in _tree(pids)) / 1024


def cpu_us(pids: Iterable[int]) -> float:
    """The CPU time that they and their ended children have used, in us."""
    return sum(_ticks(pid) for pid in _tree(pids)) * 1e6 / TICKS_S


def _tree(pids: Iterable[int]) -> Iterator[int]:
    for pid in pids:
        yield pid
        children = " ".join(path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children"))
        yield from _tree(map(int, children.split()))


def _proportional_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(each) for each in fields[FIRST_TIME : FIRST_TIME + 4])
