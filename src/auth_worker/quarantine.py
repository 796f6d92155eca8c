"""A job recovered from a dead worker may be what killed it: such a suspect runs with no neighbours.

While a suspect is held, no processor of this process takes another job; once those that run have ended, the
suspect runs alone. If it kills the process, it takes nobody along, so that only its own stalls are counted.
"""

from __future__ import annotations

from collections.abc import Callable


class Quarantine:
    """One for all processors of a process."""

    def __init__(self) -> None:
        self.suspect: object | None = None
        """Who is to run alone, or does so already."""
        self._start: Callable[[], None] | None = None
        self._running: set[object] = set()
        self._on_release: list[Callable[[], None]] = []

    def subscribe(self, on_release: Callable[[], None]) -> None:
        """Call ``on_release`` each time jobs may be taken again."""
        self._on_release.append(on_release)

    def isolate(self, suspect: object, start: Callable[[], None]) -> None:
        """Hold ``suspect`` until it is alone, then ``start`` it. Only while no other suspect is held."""
        self.suspect = suspect
        self._start = start
        self._start_if_alone()

    def entered(self, run: object) -> None:
        """A run begins."""
        self._running.add(run)

    def left(self, run: object) -> None:
        """A run has ended and is settled, or was given back without having begun."""
        self._running.discard(run)
        if self.suspect is None:
            return
        if run is self.suspect:
            self.suspect = self._start = None
            for on_release in self._on_release:
                on_release()
        else:
            self._start_if_alone()

    def _start_if_alone(self) -> None:
        if not self._running and self._start is not None:
            start, self._start = self._start, None
            start()
