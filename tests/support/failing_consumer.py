"""A consumer whose jobs die, and run once they are redriven."""

from __future__ import annotations

from collections import Counter

from auth_worker import Job, UnrecoverableError


class Failing:
    """A consumer that fails for good the first time, and counts the runs of each job."""

    def __init__(self) -> None:
        self.runs: Counter[str] = Counter()

    async def __call__(self, job: Job) -> str:
        self.runs[job.id] += 1
        if self.runs[job.id] == 1:
            raise UnrecoverableError("no")
        return job.id
