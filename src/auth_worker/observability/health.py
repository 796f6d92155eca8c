"""The health observer: reports for a while that Redis has refused commands."""

from __future__ import annotations

import time

from auth_worker.events import EventBus, Problem
from auth_worker.messages import WORKER_ERRORS

MEMORY_S = 10.0
"""How long (s) a refusal counts. While Redis keeps refusing, every queue meets it again at least every 5 s."""
UNHEALTHY_CODES = frozenset(("OOM", "READONLY", "MISCONF", "NOREPLICAS", "NOPERM"))
"""The error codes with which Redis refuses to work at all, and not just one command."""


class HealthObserver:
    """Knows from the events of the bus why Redis cannot be used. Thread-safe."""

    def __init__(self) -> None:
        self._refusal: tuple[float, str] | None = None

    def attach(self, bus: EventBus) -> None:
        """Subscribe to ``bus``."""
        bus.subscribe(Problem, self._problem)

    def reasons(self) -> list[str]:
        """Return the reasons why Redis cannot be used; none if it can."""
        refusal = self._refusal
        if refusal is None or time.monotonic() - refusal[0] > MEMORY_S:
            return []
        return [f"Redis refuses commands: {refusal[1]}"]

    def _problem(self, event: Problem) -> None:
        if event.message == WORKER_ERRORS.BROKER_REFUSED and event.code in UNHEALTHY_CODES:
            self._refusal = (time.monotonic(), event.code)
