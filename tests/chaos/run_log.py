"""Records what really happened in a file outside the broker, so that no test has to guess.

Every process appends lines of JSON to the same file (``O_APPEND``: a line is whole, also when its writer is
killed). Times are monotonic seconds, the same for all processes of a machine, whatever the wall clock does.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Entry = Mapping[str, Any]
ON_ITS_WAY_S = 0.5
"""How long (s) after the line broke a job may start that had come over it before."""


class RunLog:
    """The file at ``path``, for writing and for reading.

    ``what`` of an entry: accepted (by the broker), ready (a worker), started and ended (a run), died, frozen and
    thawed (a process), vitals (of a process that was asked), fault (on the way to the broker, for all).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        self._entries: list[Entry] = []
        self._read = 0

    def write(self, what: str, **fields: Any) -> None:
        """Append an entry."""
        line = json.dumps({"what": what, "at": time.monotonic(), **fields}) + "\n"
        os.write(self._fd, line.encode())

    def entries(self, what: str) -> list[Entry]:
        """Every entry of a kind, in the order they were written."""
        return [entry for entry in self._all() if entry["what"] == what]

    def accepted(self) -> dict[str, Any]:
        """The data of every job the broker has accepted, by the job's id."""
        return {entry["id"]: entry["data"] for entry in self.entries("accepted")}

    def runs(self) -> list[Run]:
        """Every run that was started, in order."""
        ends = {entry["run"]: entry for entry in self.entries("ended")}
        deaths = {entry["pid"]: entry["at"] for entry in reversed(self.entries("died"))}
        runs = []
        for start in self.entries("started"):
            end = ends.get(start["run"])
            until = end["at"] if end else deaths.get(start["pid"], math.inf)
            how = end["how"] if end else "cut off" if start["pid"] in deaths else "running"
            fields = {name: start[name] for name in ("id", "pid", "attempt", "stalled")}
            runs.append(Run(**fields, start=start["at"], end=until, how=how))
        return runs

    def runs_of(self, job_id: str) -> list[Run]:
        """The runs of one job."""
        return [run for run in self.runs() if run.id == job_id]

    def doubled(self, *, faults_excuse: bool = False) -> list[str]:
        """The jobs that ran again although an earlier run had ended by returning.

        A process that died or was frozen after the first of the two excuses it: nobody can write for it then.
        With ``faults_excuse`` so does a broken line to the broker, by which the job may just have come.
        """
        troubles = [*self.entries("died"), *self.entries("frozen"), *self.entries("thawed")]
        faults = [entry["at"] for entry in self.entries("fault")] if faults_excuse else []
        found = []
        for job_id, earlier, later in self._successions():
            stops = [entry["at"] for entry in troubles if entry["pid"] == earlier.pid]
            excused = any(earlier.start <= at <= later.start for at in stops) or any(
                earlier.start - ON_ITS_WAY_S <= at <= later.start for at in faults
            )
            if earlier.how == "returned" and not excused:
                found.append(job_id)
        return found

    def overlapping(self) -> list[str]:
        """The jobs that ran twice at the same time, unless the first of both processes was frozen meanwhile."""
        freezes = self.entries("frozen")
        found = []
        for job_id, earlier, later in self._successions():
            frozen = any(
                entry["pid"] == earlier.pid and earlier.start <= entry["at"] <= later.start for entry in freezes
            )
            if later.start < earlier.end and not frozen:
                found.append(job_id)
        return found

    def _successions(self) -> Iterator[tuple[str, Run, Run]]:
        """Each two runs of a job that follow one another."""
        by_job: defaultdict[str, list[Run]] = defaultdict(list)
        for run in self.runs():
            by_job[run.id].append(run)
        for job_id, runs in by_job.items():
            for earlier, later in itertools.pairwise(runs):
                yield job_id, earlier, later

    def _all(self) -> list[Entry]:
        while chunk := os.pread(self._fd, 1 << 20, self._read):
            whole = chunk[: chunk.rfind(b"\n") + 1]
            if not whole:
                break
            self._entries += [json.loads(line) for line in whole.splitlines()]
            self._read += len(whole)
        return self._entries


@dataclass(frozen=True)
class Run:
    """One run of a job. ``how`` it ended: returned, raised, cancelled, cut off with its process; or running."""

    id: str
    pid: int
    attempt: int
    stalled: int
    start: float
    end: float
    how: str
