"""A quarantine under a clock that is moved by hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from auth_worker.engine.quarantine import Quarantine

LEASE_S = 8.0


class Bell:
    """A timer of the floor's clock."""

    def __init__(self, at: float, ring: Callable[[], None]) -> None:
        self.at = at
        self.ring = ring
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Floor:
    """A quarantine under a clock that is moved by hand, and what happened on it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.bells: list[Bell] = []
        self.quarantine = Quarantine(lambda: self.now, self._call_later)
        self.started: list[str] = []
        self.running: set[str] = set()
        self.opened = 0
        self.slots = True
        self.quarantine.subscribe(self._count, LEASE_S)

    def _call_later(self, seconds: float, ring: Callable[[], None]) -> Bell:
        bell = Bell(self.now + seconds, ring)
        self.bells.append(bell)
        return bell

    def _count(self) -> None:
        self.opened += 1

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        until = self.now + seconds
        while due := [bell for bell in self.bells if bell.at <= until and not bell.cancelled]:
            bell = min(due, key=lambda each: each.at)
            self.bells.remove(bell)
            self.now = max(self.now, bell.at)
            bell.ring()
        self.now = until

    def hold(self, suspect: str, *, fails_next: bool = False) -> None:
        self.quarantine.hold(suspect, partial(self.start, suspect), fails_next=fails_next)

    def start(self, run: str) -> bool:
        if self.slots:
            self.started.append(run)
            self.running.add(run)
            self.quarantine.entered(run)
        return self.slots

    def end(self, run: str) -> None:
        self.running.discard(run)
        self.quarantine.left(run)
