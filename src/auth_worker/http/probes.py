"""The probes: whether the process is alive, ready and started, and if not, why.

They run in the port's loop, so that a consumer that blocks the work loop cannot silence them, and use what the
process knows. Only readiness asks Redis, with a PING, and waits a moment for the reply.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict

from starlette.responses import JSONResponse

from auth_worker.core.ports.operator import BrokerView
from auth_worker.errors import BrokerError
from auth_worker.http.service_view import ServiceView
from auth_worker.observability.health import HealthObserver

LOOP_LIMIT_S = 10.0
"""How long (s) the work loop may be blocked before the process counts as stuck."""
FETCH_LIMIT_S = 60.0
"""How long (s) a processor with a free slot may not look for jobs. It looks at least every 5 s."""
SILENCE_LIMIT_S = 1.0
"""How long (s) Redis may not reply. After 6 s the connection is closed anyway."""
PING_TIMEOUT_S = 0.5
"""How long (s) a probe waits for Redis; Kubernetes waits 1 s for the probe."""


def probe_response(reasons: list[str]) -> JSONResponse:
    """Return the response of a probe: 200 without ``reasons`` to fail, else 503."""
    return JSONResponse({"healthy": not reasons, "reasons": reasons}, 503 if reasons else 200)


class Probes:
    """Each probe returns its reasons to fail; none means success. ``ready`` belongs to the watch loop."""

    def __init__(self, service: ServiceView, broker_health: HealthObserver) -> None:
        self._service = service
        self._broker_health = broker_health
        self._pulses: defaultdict[BrokerView, Pulse] = defaultdict(Pulse)

    def live(self) -> list[str]:
        """Return why a restart would help. Neither an outage of Redis nor a shutdown is a reason."""
        reasons = self.stuck(LOOP_LIMIT_S)
        if (still := self._service.runtime.lag.watch_lag_s) > LOOP_LIMIT_S:
            reasons.append(f"the watch loop has been blocked for {still:.0f} s")
        for processor in self._service.get_processors():
            if (overdue := processor.overdue_s) > FETCH_LIMIT_S:
                reasons.append(f"{processor.queue_name}: it has not looked for jobs for {overdue:.0f} s")
        return reasons

    def stuck(self, limit_s: float) -> list[str]:
        """Return the reason if the work loop has been blocked for more than ``limit_s``."""
        lag = self._service.runtime.lag.lag_s
        return [f"the event loop has been blocked for {lag:.0f} s: a consumer blocks it"] if lag > limit_s else []

    def started(self) -> list[str]:
        """Return why it has not started yet."""
        state = self._service.state
        if state not in ("new", "starting"):
            return []
        return [f"the service is {state}", *self._connections()]

    async def ready(self) -> list[str]:
        """Return why it cannot work now."""
        state = self._service.state
        reasons = [] if state == "running" else [f"the service is {state}"]
        reasons += self._connections()
        if not reasons and (silent := await self._silent_s()) > SILENCE_LIMIT_S:
            reasons.append(f"Redis has not answered for {silent:.1f} s")
        return reasons + self._broker_health.reasons()

    async def _silent_s(self) -> float:
        views = self._service.runtime.broker_views
        return max(await asyncio.gather(*(self._pulses[view].silent_s(view) for view in views)), default=0.0)

    def _connections(self) -> list[str]:
        links = self._service.runtime.links
        if not links:
            return ["not connected to Redis yet"]
        return [
            f"no connection to Redis for {link.down_s:.0f} s ({link.name})" for link in links if not link.is_up
        ]


class Pulse:
    """Pings Redis, one PING at a time."""

    def __init__(self) -> None:
        self._question: asyncio.Task[None] | None = None
        self._asked = 0.0

    async def silent_s(self, broker: BrokerView) -> float:
        """Return how long (s) the last PING has been unanswered; 0 if Redis replies within ``PING_TIMEOUT_S``."""
        if self._question is None or self._question.done():
            self._asked = time.monotonic()
            self._question = asyncio.create_task(self._ask(broker), name="pulse")
        answered, _ = await asyncio.wait({self._question}, timeout=PING_TIMEOUT_S)
        return 0.0 if answered else time.monotonic() - self._asked

    async def _ask(self, broker: BrokerView) -> None:
        with contextlib.suppress(BrokerError):  # a broken connection shows in its state, a refusal in the events
            await broker.ping()
