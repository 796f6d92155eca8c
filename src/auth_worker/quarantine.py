"""Quarantine: a job recovered from a dead worker may be what killed it, so it runs with no neighbours.

Such a job is a suspect. If it kills this process too, it takes nobody along, and only its own stalls are counted.
One quarantine serves all processors of a process. It is a state machine without I/O; its time comes from outside.

Open
    Jobs are fetched and started. Suspects wait here, leased, without a slot of their queue.
Clearing
    Nothing is fetched or started any more, and the first suspect in line waits for the running jobs to end. It
    starts when the last one has. If that takes longer than the current window, the process opens again: the
    suspect waits in the background until the jobs that held it up have ended, and then tries again with a window
    twice as long. So a job of an hour stops the others for one window and no longer.
Alone
    The suspect runs. When it ends, or after half the bound (it has not killed at once), the process opens.

After each closed time comes an open one that is as long, so that others run between suspects. What was
being fetched when the process closed is kept, leased, and starts when it opens; nothing is put back, which would
cost an attempt started and a token of the rate limit.

The bound is the shortest lease of all queues here. A window and the time alone are each less than half of it, so
that no queue waits longer for a suspect than its own lease. A suspect that has found no quiet moment for ten
times the bound runs beside its neighbours: each is charged one stall at most, since it is a suspect itself
afterwards. Beside a suspect that still runs, it only starts after sixty times the bound, since those two would be
charged together, up to the limit.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

FIRST_WINDOW_S, FIRST_WINDOW = 1.0, 0.125
"""The first window (s), but no more than this part of the bound."""
PART = 0.45
"""The part of the bound that a window, or the time alone, takes at most."""
SHORTEST_TURN_S = 0.05
PATIENCE, PATIENCE_WITH_SUSPECTS = 10, 60
"""After so many times the bound a suspect runs although it is not alone."""


class Timer(Protocol):
    """What ``call_later`` gives."""

    def cancel(self) -> None:
        """Do not call any more."""


class Waiting(NamedTuple):
    """A suspect in line. ``start`` starts it, and says whether it could."""

    run: object
    start: Callable[[], bool]
    since: float


def _call_later(seconds: float, callback: Callable[[], None]) -> Timer:
    return asyncio.get_running_loop().call_later(seconds, callback)


class Quarantine:
    """Belongs to the work loop; ``closed_s`` and ``closed`` may be read from any thread."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        call_later: Callable[[float, Callable[[], None]], Timer] = _call_later,
    ) -> None:
        self.closed = False
        """Whether no job may be fetched or started now."""
        self._clock = clock
        self._call_later = call_later
        self._bound = 60.0
        self._on_open: list[Callable[[], None]] = []
        self._running: set[object] = set()
        self._suspects: set[object] = set()
        """Those that run."""
        self._line: deque[Waiting] = deque()
        self._kept: dict[object, Callable[[], bool]] = {}
        self._alone: object | None = None
        self._blockers: set[object] = set()
        """What ran when the last window was over; the next one waits for their end."""
        self._window = 0.0
        self._closed_at = 0.0
        self._timer: Timer | None = None
        self._is_turn_of_others = False
        self._is_needed = False
        """Whether anything is held or closed; while nothing is, the end of a run costs no more than this look."""

    @property
    def closed_s(self) -> float:
        """For how long (s) nothing has been started for a suspect's sake; 0 while the process is open."""
        return self._clock() - self._closed_at if self.closed else 0.0

    def subscribe(self, on_open: Callable[[], None], lease_s: float) -> None:
        """Add a queue: ``on_open`` is called each time jobs may be fetched again, ``lease_s`` is its lease (s)."""
        self._bound = min(self._bound, lease_s) if self._on_open else lease_s
        self._on_open.append(on_open)

    def hold(self, suspect: object, start: Callable[[], bool]) -> None:
        """Put ``suspect`` in line; ``start`` is called once it may run, at once if nothing does."""
        self._is_needed = True
        self._line.append(Waiting(suspect, start, self._clock()))
        self._advance()

    def keep(self, run: object, start: Callable[[], bool]) -> None:
        """Keep a ``run`` that came while the process is closed, and ``start`` it when it opens."""
        self._is_needed = True
        self._kept[run] = start

    def entered(self, run: object) -> None:
        """A run begins."""
        self._running.add(run)

    def left(self, run: object) -> None:
        """A run has ended, or will not begin any more."""
        self._running.discard(run)
        if self._is_needed:
            self._left(run)

    def _left(self, run: object) -> None:
        self._suspects.discard(run)
        self._kept.pop(run, None)
        self._line = deque(each for each in self._line if each.run != run)
        self._blockers.discard(run)
        if run == self._alone or (self.closed and self._alone is None and not self._line):
            self._open()
        elif self.closed and self._alone is None:
            self._start_if_alone()
        else:
            self._advance()
        self._is_needed = bool(self._line or self._kept or self._suspects or self.closed)

    def _advance(self) -> None:
        """Close for the first suspect in line, unless it is the turn of others or waiting would be in vain."""
        if self._line and not (self.closed or self._is_turn_of_others or self._blockers):
            self._close()

    def _close(self) -> None:
        self.closed, self._closed_at = True, self._clock()
        self._window = min(self._window or FIRST_WINDOW_S, self._bound * (PART if self._window else FIRST_WINDOW))
        self._set_timer(self._window, self._give_up)
        self._start_if_alone()

    def _start_if_alone(self) -> None:
        if not self._running:
            self._start_first()

    def _start_first(self) -> None:
        first = self._line[0]
        if not first.start():  # its queue has no slot
            self._blockers = set(self._running)
            self._open()
            return
        self._line.popleft()
        self._alone = first.run
        self._suspects.add(first.run)
        self._window = 0.0
        self._set_timer(self._bound * PART, self._open)

    def _give_up(self) -> None:
        """The window is over, and jobs still run."""
        if self._left_to_wait() <= 0:
            self._start_first()
            return
        self._blockers = set(self._running)
        self._window *= 2
        self._open()

    def _left_to_wait(self) -> float:
        """How long (s) until the first suspect in line runs though it is not alone."""
        patience = PATIENCE if self._suspects.isdisjoint(self._running) else PATIENCE_WITH_SUSPECTS
        return self._line[0].since + patience * self._bound - self._clock()

    def _open(self) -> None:
        lasted = self.closed_s
        self.closed, self._alone, self._is_turn_of_others = False, None, True
        self._set_timer(max(lasted, SHORTEST_TURN_S), self._end_turn)
        kept, self._kept = self._kept, {}
        for start in kept.values():
            start()
        for on_open in self._on_open:
            on_open()

    def _end_turn(self) -> None:
        self._is_turn_of_others = False
        if self._line and self._blockers:
            self._set_timer(max(self._left_to_wait(), self._bound), self._lose_patience)
        self._advance()

    def _lose_patience(self) -> None:
        self._blockers.clear()
        self._advance()

    def _set_timer(self, seconds: float, callback: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._call_later(seconds, callback)
