"""The health observer: remembers whether Redis has lately refused to write."""

from __future__ import annotations

import re
import time

from auth_worker.events import EventBus, Problem
from auth_worker.messages import WORKER_ERRORS

LATELY_S = 10.0
"""For how long (s) a refusal counts; while it lasts, every queue meets it again at least every 5 s."""
_REFUSAL = re.compile(r"\bRedis refused: (OOM|READONLY|MISCONF|NOREPLICAS|NOPERM)\b")


class HealthObserver:
    """Listens from any thread; ``reasons`` may be asked from any."""

    def __init__(self) -> None:
        self._refusal: tuple[float, str] | None = None

    def attach(self, bus: EventBus) -> None:
        """Listen to ``bus`` from now on."""
        bus.subscribe(Problem, self._problem)

    def reasons(self) -> list[str]:
        """Why Redis cannot be worked with, one sentence each."""
        refusal = self._refusal
        if refusal is None or time.monotonic() - refusal[0] > LATELY_S:
            return []
        return [f"Redis refuses commands: {refusal[1]}"]

    def _problem(self, event: Problem) -> None:
        if event.message == WORKER_ERRORS.BROKER_REFUSED and (found := _REFUSAL.search(event.detail)):
            self._refusal = (time.monotonic(), found[1])
