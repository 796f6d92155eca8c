"""The runs of one queue that hold a lease and have not started: suspects, and jobs that arrived beside one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from auth_worker.core.decisions import decide_not_begun
from auth_worker.core.outcome import Cause
from auth_worker.core.run import Phase, Run
from auth_worker.engine.fetcher import Fetcher
from auth_worker.engine.quarantine import Quarantine
from auth_worker.engine.settlement import Settlement
from auth_worker.events import EventBus, SuspectChanged

MOST_LENT = 100
"""How many suspects of a queue may wait without a slot."""
Start = Callable[[Run], None]


class WaitingRuns:
    """The waiting runs of one queue. Belongs to the work loop.

    ``isolated``: each job runs in a process of its own, where it harms no other. The ``start`` of a method starts
    the run, once the quarantine permits it.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        settlement: Settlement,
        quarantine: Quarantine,
        bus: EventBus,
        *,
        isolated: bool,
        max_stalled_count: int,
    ) -> None:
        self._fetcher = fetcher
        self._settlement = settlement
        self._quarantine = quarantine
        self._bus = bus
        self._isolated = isolated
        self._max_stalled_count = max_stalled_count
        self._waiting: dict[Run, bool] = {}
        """Whether the run has lent its slot to another job."""

    @property
    def suspects(self) -> int:
        """How many jobs recovered from dead workers wait until they may run. Any thread may read it."""
        return sum(map(self.is_suspect, list(self._waiting)))

    def is_suspect(self, run: Run) -> bool:
        """Whether the job may have killed its worker, and may kill this process too."""
        return run.job.stalled_count > 0 and not self._isolated

    def keep_until_open(self, run: Run, start: Start) -> None:
        """Keep a run whose job arrived while the process was closed for a suspect."""
        self._waiting[run] = False
        self._quarantine.keep(run, partial(self._begin, run, start))

    def hold_suspect(self, run: Run, start: Start) -> None:
        """Keep a suspect until it can run alone, and lend its slot to other jobs meanwhile."""
        self._waiting[run] = False
        self._quarantine.hold(run, partial(self._begin, run, start), fails_next=self._fails_next(run))
        if run not in self._waiting:
            return
        self._report(run, "held")
        if len(self._waiting) <= MOST_LENT:
            self._waiting[run] = True
            self._fetcher.lend()

    def await_process(self, run: Run) -> None:
        """Keep a run that waits for a process, until ``leave_line``."""
        self._waiting[run] = False

    def leave_line(self, run: Run) -> bool:
        """Return whether the run still waits. It is no longer kept."""
        return self._waiting.pop(run, None) is not None

    def mark_recovered(self, run: Run) -> None:
        """Mark a run that starts, of a recovered job: suspects of other queues must not run beside it."""
        if self._isolated:
            self._quarantine.mark_recovered(run, fails_next=self._fails_next(run))

    def withdraw(self, run: Run, cause: Cause) -> None:
        """End ``run`` for ``cause`` if it waits here."""
        if run not in self._waiting:
            return
        if self._waiting.pop(run):
            self._fetcher.reclaim(owed=True)
        self._quarantine.left(run)
        run.phase = Phase.SETTLING
        self._settlement.settle(run, decide_not_begun(cause, run.reason))

    def all(self) -> list[Run]:
        """Return every run that waits."""
        return list(self._waiting)

    def _begin(self, run: Run, start: Start) -> bool:
        """Start a run. Returns False if its queue has no free slot for it."""
        if self._waiting[run] and not self._fetcher.reclaim():
            return False
        del self._waiting[run]
        if self.is_suspect(run):
            self._report(run, "beside others" if self._quarantine.is_occupied else "alone")
        start(run)
        return True

    def _fails_next(self, run: Run) -> bool:
        """Whether the stalled check would fail the job at its next stall."""
        return run.job.stalled_count >= self._max_stalled_count

    def _report(self, run: Run, state: str) -> None:
        job = run.job
        self._bus.emit(SuspectChanged(job.queue_name, job.id, job.name, job.stalled_count, state))
