"""Clock: the time of a test's jobs, which moves only when the test moves it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta


class Clock:
    """The clock of a ``MemoryBroker``, by which delays, backoffs, expiry and job schedulers are timed.

    It starts at the current time and stands still. ``now`` is in epoch ms.
    """

    def __init__(self) -> None:
        self.now = round(time.time() * 1000)

    @property
    def moment(self) -> datetime:
        """The time, in UTC."""
        return datetime.fromtimestamp(self.now / 1000, UTC)

    def advance(self, delta: timedelta | None = None, **units: float) -> None:
        """Move forward by a timedelta, or by its arguments: ``advance(minutes=5)``. That alone runs no job."""
        self.move_to(self.moment + (delta or timedelta()) + timedelta(**units))

    def move_to(self, moment: datetime) -> None:
        """Move to ``moment``. Raises ``ValueError`` for one without a time zone, or in the past."""
        if moment.tzinfo is None:
            raise ValueError("a moment needs a time zone, such as datetime(2030, 1, 1, tzinfo=UTC)")
        now = round(moment.timestamp() * 1000)
        if now < self.now:
            raise ValueError("the clock of a test only moves forward")
        self.now = now
