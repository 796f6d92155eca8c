"""The probes: why the process should be restarted, why it is not ready, whether it has started.

They are answered in the loop of the port, so that a consumer that blocks the work loop cannot silence them, and
from what the process knows. Only readiness asks Redis, for a sign of life, and waits for it but a moment.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict

from auth_worker.admin.subject import Subject
from auth_worker.broker.link import Link
from auth_worker.errors import BrokerError
from auth_worker.observers.health import HealthObserver

LOOP_LIMIT_S = 10.0
"""For how long the work loop may stand still before the process counts as stuck."""
FETCH_LIMIT_S = 60.0
"""For how long a processor with a free slot may leave its queue alone; it should look every 5 s."""
SILENCE_LIMIT_S = 1.0
"""For how long Redis may leave a question open; after 6 s the connection is given up anyway."""
PATIENCE_S = 0.5
"""How long a probe waits for Redis; Kubernetes waits 1 s for the probe."""


class Probes:
    """Each gives reasons, one sentence each; none is a yes. ``ready`` belongs to the watch loop."""

    def __init__(self, subject: Subject, broker_health: HealthObserver) -> None:
        self._subject = subject
        self._broker_health = broker_health
        self._pulses: defaultdict[Link, Pulse] = defaultdict(Pulse)

    def live(self) -> list[str]:
        """Why a restart would help. "Redis is down" is no such reason, nor is a drain."""
        reasons = self.stuck(LOOP_LIMIT_S)
        if (still := self._subject.runtime.lag.watch_lag_s) > LOOP_LIMIT_S:
            reasons.append(f"the thread that keeps the leases has stood still for {still:.0f} s")
        for processor in self._subject.get_processors():
            if (overdue := processor.overdue_s) > FETCH_LIMIT_S:
                reasons.append(f"{processor.queue_name}: nobody has looked for jobs for {overdue:.0f} s")
        return reasons

    def stuck(self, limit_s: float) -> list[str]:
        """Whether the work loop has stood still for longer than ``limit_s``."""
        lag = self._subject.runtime.lag.lag_s
        return [f"the event loop has stood still for {lag:.0f} s: a consumer blocks it"] if lag > limit_s else []

    def started(self) -> list[str]:
        """Why it has not started yet."""
        state = self._subject.state
        if state not in ("new", "starting"):
            return []
        return [f"the service is {state}", *self._connections()]

    async def ready(self) -> list[str]:
        """Why it cannot work now."""
        state = self._subject.state
        reasons = [] if state == "running" else [f"the service is {state}"]
        reasons += self._connections()
        if not reasons and (silent := await self._silent_s()) > SILENCE_LIMIT_S:
            reasons.append(f"Redis has not answered for {silent:.1f} s")
        return reasons + self._broker_health.reasons()

    async def _silent_s(self) -> float:
        links = self._subject.runtime.watch_links
        return max(await asyncio.gather(*(self._pulses[link].silent_s(link) for link in links)), default=0.0)

    def _connections(self) -> list[str]:
        links = self._subject.runtime.links
        if not links:
            return ["not connected to Redis yet"]
        return [
            f"no connection to Redis for {link.down_s:.0f} s ({link.name})" for link in links if not link.is_up
        ]


class Pulse:
    """Asks Redis for a sign of life, one question at a time."""

    def __init__(self) -> None:
        self._question: asyncio.Task[None] | None = None
        self._asked = 0.0

    async def silent_s(self, link: Link) -> float:
        """For how long (s) the last question has been open; 0 if Redis answers within ``PATIENCE_S``."""
        if self._question is None or self._question.done():
            self._asked = time.monotonic()
            self._question = asyncio.create_task(self._ask(link), name="pulse")
        answered, _ = await asyncio.wait({self._question}, timeout=PATIENCE_S)
        return 0.0 if answered else time.monotonic() - self._asked

    async def _ask(self, link: Link) -> None:
        try:
            await link.execute("PING")
        except BrokerError:
            """A broken connection shows in its state, a refusal in the events."""
