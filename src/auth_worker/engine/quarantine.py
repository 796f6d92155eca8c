"""Quarantine: a job recovered from a dead worker may be what killed it, so it runs with no neighbours.

Such a job is a suspect. If it kills this process too, no other job is affected, and only its own stalls are
counted. One quarantine serves all processors of a process. It is a state machine without I/O, driven by timers
that its caller provides. ``QuarantineState`` names its states.

After each closed period comes an open one of the same length, so that other jobs run between suspects. A job whose
fetch was under way when the process closed keeps its lease and starts when the process opens. It is not put back,
since that would cost a started attempt and a token of the rate limit. Whatever waits is marked in the broker until
it begins, so that it is charged no stall if a suspect kills the process.

The bound is the shortest lease of all queues here. A window and the time alone are each less than half of it, so
that no queue waits longer for a suspect than its own lease.

A suspect that has found no quiet moment for ten times the bound runs beside its neighbours. If it kills them, each
is charged one stall, and is a suspect itself afterwards. If one of the neighbours is a recovered job, both have
stalls already, and would be charged together each time. In that case the suspect waits for sixty times the bound,
and starts only if one more stall would fail neither job. Otherwise it goes on waiting, leased and shown in health
and metrics, until that neighbour has ended: no job fails for what its neighbour did.
"""

from __future__ import annotations

import asyncio
import enum
import math
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

FIRST_WINDOW_S, FIRST_WINDOW = 1.0, 0.125
"""The first window (s), but no more than this part of the bound."""
MOST_OF_BOUND = 0.45
"""The largest fraction of the bound that a window, or the time alone, takes."""
SHORTEST_TURN_S = 0.05
PATIENCE, PATIENCE_WITH_SUSPECTS = 10, 60
"""After how many times the bound a suspect runs although it is not alone."""


class QuarantineState(enum.Enum):
    """How the process treats suspects. It is closed while ``CLEARING`` and ``ALONE``, and open otherwise.

    A suspect that finds no moment alone within the current window waits in the background, while the process is
    open, until the jobs that kept it waiting have ended. Then it tries again with a window twice as long. So a job
    that takes an hour stops the others for one window only.
    """

    OPEN = enum.auto()
    """Jobs are fetched and started. Suspects wait here, leased, without a slot of their queue."""
    OTHERS_TURN = enum.auto()
    """As ``OPEN``, and the process does not close for a suspect."""
    CLEARING = enum.auto()
    """Nothing is fetched or started. The first suspect in line starts when the last running job has ended."""
    ALONE = enum.auto()
    """A suspect runs, until it ends or half the bound has passed: then it has not killed at once."""


class Timer(Protocol):
    """A timer that ``call_later`` returns."""

    def cancel(self) -> None:
        """Cancel the call."""


class Waiting(NamedTuple):
    """A suspect in line. ``start`` starts it and returns whether it could."""

    run: object
    start: Callable[[], bool]
    since: float


def _call_later(seconds: float, callback: Callable[[], None]) -> Timer:
    return asyncio.get_running_loop().call_later(seconds, callback)


class Quarantine:
    """The quarantine of a process. Belongs to the work loop; any thread may read ``closed_s`` and ``closed``."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        call_later: Callable[[float, Callable[[], None]], Timer] = _call_later,
    ) -> None:
        self.closed = False
        """Whether no job may be fetched or started now."""
        self._state = QuarantineState.OPEN
        self._clock = clock
        self._call_later = call_later
        self._bound = 60.0
        self._on_open: list[Callable[[], None]] = []
        self._running: set[object] = set()
        self._suspects: dict[object, bool] = {}
        """The recovered jobs that wait or run, and whether one more stall would fail them."""
        self._line: deque[Waiting] = deque()
        self._kept: dict[object, Callable[[], bool]] = {}
        self._alone: object | None = None
        """The suspect that runs while the state is ``ALONE``."""
        self._blockers: set[object] = set()
        """The runs that the last window did not outlast. The next window waits for their end."""
        self._window = 0.0
        self._closed_at = 0.0
        self._timer: Timer | None = None
        self._is_needed = False
        """Whether anything is held or closed. Otherwise the end of a run costs no more than this check."""

    @property
    def closed_s(self) -> float:
        """How long (s) nothing has been started because of a suspect; 0 while the process is open."""
        return self._clock() - self._closed_at if self.closed else 0.0

    @property
    def is_occupied(self) -> bool:
        """Whether any job runs."""
        return bool(self._running)

    def subscribe(self, on_open: Callable[[], None], lease_s: float) -> None:
        """Add a queue with the lease ``lease_s`` (s). ``on_open`` is called whenever jobs may be fetched again."""
        self._bound = min(self._bound, lease_s) if self._on_open else lease_s
        self._on_open.append(on_open)

    def hold(self, suspect: object, start: Callable[[], bool], *, fails_next: bool) -> None:
        """Put ``suspect`` in line. ``start`` is called once it may run: at once if nothing else does.

        ``fails_next``: whether one more stall would fail its job.
        """
        self.mark_recovered(suspect, fails_next=fails_next)
        self._line.append(Waiting(suspect, start, self._clock()))
        self._advance()

    def keep(self, run: object, start: Callable[[], bool]) -> None:
        """Keep a ``run`` whose job arrived while the process was closed, and call ``start`` when it opens."""
        self._is_needed = True
        self._kept[run] = start

    def entered(self, run: object) -> None:
        """Register a run that starts."""
        self._running.add(run)

    def mark_recovered(self, run: object, *, fails_next: bool) -> None:
        """Mark the job of ``run`` as recovered. ``fails_next``: whether one more stall would fail it."""
        self._is_needed = True
        self._suspects[run] = fails_next

    def left(self, run: object) -> None:
        """Forget a run that has ended or will not start any more."""
        self._running.discard(run)
        if self._is_needed:
            self._left(run)

    def _left(self, run: object) -> None:
        self._suspects.pop(run, None)
        self._kept.pop(run, None)
        self._line = deque(each for each in self._line if each.run != run)
        self._blockers.discard(run)
        match self._state:
            case QuarantineState.CLEARING if self._line:
                self._start_if_alone()
            case QuarantineState.CLEARING:
                self._open()
            case QuarantineState.ALONE if run == self._alone:
                self._open()
            case _:
                self._advance()
        self._is_needed = bool(self._line or self._kept or self._suspects or self.closed)

    def _enter(self, state: QuarantineState) -> None:
        self._state = state
        self.closed = state in (QuarantineState.CLEARING, QuarantineState.ALONE)

    def _advance(self) -> None:
        """Close for the first suspect in line, unless others have their turn or outlasted the last window."""
        if self._line and self._state is QuarantineState.OPEN and not self._blockers:
            self._close()

    def _close(self) -> None:
        self._enter(QuarantineState.CLEARING)
        self._closed_at = self._clock()
        most = MOST_OF_BOUND if self._window else FIRST_WINDOW
        self._window = min(self._window or FIRST_WINDOW_S, self._bound * most)
        self._set_timer(self._window, self._give_up)
        self._start_if_alone()

    def _start_if_alone(self) -> None:
        if not self._running:
            self._start(self._line[0])

    def _start(self, waiting: Waiting) -> None:
        if not waiting.start():  # its queue has no slot
            self._blockers = set(self._running)
            self._open()
            return
        self._line.remove(waiting)
        self._alone = waiting.run
        self._enter(QuarantineState.ALONE)
        self._window = 0.0
        self._set_timer(self._bound * MOST_OF_BOUND, self._open)

    def _give_up(self) -> None:
        """Open again, since the window is over and jobs still run."""
        if impatient := self._impatient():
            self._start(impatient)
            return
        self._blockers = set(self._running)
        self._window *= 2
        self._open()

    def _impatient(self) -> Waiting | None:
        """Return the first suspect in line that may now run although it is not alone."""
        return next((each for each in self._line if self._left_to_wait(each) <= 0), None)

    def _left_to_wait(self, waiting: Waiting) -> float:
        """Return how long (s) until it may run although it is not alone; infinite if it must not."""
        beside = [fails_next for run, fails_next in self._suspects.items() if run in self._running]
        patience: float = PATIENCE_WITH_SUSPECTS if beside else PATIENCE
        if any(beside) or (beside and self._suspects[waiting.run]):
            patience = math.inf
        return waiting.since + patience * self._bound - self._clock()

    def _open(self) -> None:
        lasted = self.closed_s
        self._enter(QuarantineState.OTHERS_TURN)
        self._alone = None
        self._set_timer(max(lasted, SHORTEST_TURN_S), self._end_turn)
        kept, self._kept = self._kept, {}
        for start in kept.values():
            start()
        for on_open in self._on_open:
            on_open()

    def _end_turn(self) -> None:
        self._enter(QuarantineState.OPEN)
        if self._line and self._blockers:
            self._await_impatience()
        self._advance()

    def _await_impatience(self) -> None:
        """Check again when a suspect may have lost patience, since other jobs run beside it by then."""
        left = min(map(self._left_to_wait, self._line))
        self._set_timer(min(max(left, self._bound), PATIENCE * self._bound), self._look_at_blockers)

    def _look_at_blockers(self) -> None:
        if self._line and self._blockers and not self._impatient():
            self._await_impatience()
            return
        self._blockers.clear()
        self._advance()

    def _set_timer(self, seconds: float, callback: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._call_later(seconds, callback)
