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
        self._running = 0
        self._on_release: list[Callable[[], None]] = []

    def subscribe(self, on_release: Callable[[], None]) -> None:
        """Call ``on_release`` each time jobs may be taken again."""
        self._on_release.append(on_release)

    def entered(self) -> None:
        """A run begins."""
        self._running += 1

    def left(self) -> None:
        """A run has ended, and is settled."""
        self._running -= 1
        if not self._running and self._start is not None:
            start, self._start = self._start, None
            start()

    def isolate(self, suspect: object, start: Callable[[], None]) -> None:
        """Hold ``suspect`` until it is alone, then ``start`` it. Only while no other suspect is held."""
        self.suspect = suspect
        if self._running:
            self._start = start
        else:
            start()

    def release(self, suspect: object) -> None:
        """The suspect has ended, or went back to the queue: jobs may be taken again."""
        if self.suspect is suspect:
            self.suspect = self._start = None
            for on_release in self._on_release:
                on_release()
