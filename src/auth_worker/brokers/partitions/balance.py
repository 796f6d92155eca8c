"""Which partition of a queue a worker asks for its next job. A state machine without I/O."""

from __future__ import annotations

import time
from collections.abc import Callable

PROBE_S = 0.1
"""How long (s) a partition that was found empty is not asked again without a reason."""


class PartitionBalance:
    """The slots of one worker over ``partitions``, by number. ``concurrency`` is how many slots it has."""

    def __init__(self, partitions: int, concurrency: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._concurrency = concurrency
        self._clock = clock
        self._ready = dict.fromkeys(range(partitions))
        """Those that may have jobs, the one that was asked last at the end."""
        self._probe_at: dict[int, float] = {}
        """When each that was found empty may be asked again although nothing says that it has jobs."""
        self._promised: dict[int, float] = {}
        """Until when the next slot is promised to each that should have it."""
        self._slots = [0] * partitions
        self._holder: dict[str, int] = {}
        """The partition of each token that fetches or has a run."""

    def next(self, is_up: Callable[[int], bool]) -> int | None:
        """Return the one to ask: the one with the fewest slots of those that may have jobs and are up."""
        candidates = [number for number in self._ready if is_up(number)]
        return min(candidates, key=self._slots.__getitem__, default=None)

    def take(self, number: int, token: str) -> bool:
        """Count a slot, whose token is ``token``, for a partition. Returns whether all slots are in use now."""
        self.leave(token)
        self.hold(number, token)
        self._promised.pop(number, None)
        if number in self._ready:
            del self._ready[number]
            self._ready[number] = None
        return len(self._holder) >= self._concurrency

    def hold(self, number: int, token: str) -> None:
        """Count the slot of ``token`` for a partition, unless it is counted."""
        if token not in self._holder:
            self._holder[token] = number
            self._slots[number] += 1

    def leave(self, token: str) -> None:
        """Count the slot of ``token`` no more."""
        if (number := self._holder.pop(token, None)) is not None:
            self._slots[number] -= 1

    def is_unfair(self, is_up: Callable[[int], bool]) -> bool:
        """Whether a partition without a slot should have the next one, although another has jobs.

        One that was found empty should have it once in ``PROBE_S``. Each is promised one slot at a time.
        """
        if all(self._slots):
            return False
        now = self._clock()
        for number, slots in enumerate(self._slots):
            if slots or now < self._promised.get(number, 0.0) or now < self._probe_at.get(number, 0.0):
                continue
            if is_up(number):
                self.may_have_jobs(number)
                self._promised[number] = now + PROBE_S
                return True
        return False

    def found_empty(self, number: int, pause_s: float) -> None:
        """Note that a partition has no job now, and gives none for ``pause_s``."""
        self._ready.pop(number, None)
        self._probe_at[number] = self._clock() + max(pause_s, PROBE_S)

    def may_have_jobs(self, number: int) -> None:
        """Note that a partition may have jobs."""
        self._ready.setdefault(number)
        self._probe_at.pop(number, None)

    def empty(self) -> list[int]:
        """Return those that were found empty."""
        return list(self._probe_at)

    def forget_empty(self) -> None:
        """Note that all of them may have jobs."""
        for number in self.empty():
            self.may_have_jobs(number)
