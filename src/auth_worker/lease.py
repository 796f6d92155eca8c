"""Leases: keeps the locks of all running jobs alive, and knows when one is lost.

This runs in the watch loop, on its own connection and the monotonic clock, so that neither a consumer that
blocks the work loop nor a jump of the wall clock costs a lease. A lease is lost when Redis says so, or when it
could not be renewed for the whole lock duration: then somebody else may have the job by now.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from auth_worker.broker.link import Link
from auth_worker.broker.scripts import builders
from auth_worker.errors import BrokerError
from auth_worker.events import EventBus, Problem
from auth_worker.messages import WORKER_ERRORS
from auth_worker.run import Run

RENEW_AT = 0.5
"""The part of the lock duration after which a lease is renewed."""
SHORTEST_TURN, LONGEST_TURN = 0.02, 1.0


@dataclass(frozen=True)
class Tenancy:
    """The leases of one queue: its runs, and what to call (from the watch loop) for those that are lost."""

    queue: str
    lock_duration: int
    runs: Callable[[], Iterable[Run]]
    on_lost: Callable[[list[Run]], None]


class LeaseRenewer:
    """Renews the leases of every tenancy in time. All of it belongs to the watch loop."""

    def __init__(self, link: Link, prefix: str, bus: EventBus) -> None:
        self._link = link
        self._prefix = prefix
        self._bus = bus
        self._tenancies: dict[Tenancy, Any] = {}
        self._added = asyncio.Event()

    async def add(self, tenancy: Tenancy) -> None:
        """Take care of a queue's leases from now on."""
        self._tenancies[tenancy] = builders(self._prefix, tenancy.queue, self._link.call)
        self._added.set()

    async def remove(self, tenancy: Tenancy) -> None:
        """A queue's processor is closed."""
        self._tenancies.pop(tenancy, None)

    async def run(self) -> None:
        """Turn for ever: renew what is due, report what is lost."""
        while True:
            for tenancy, scripts in list(self._tenancies.items()):
                await self._renew(tenancy, scripts)
            shortest = min((tenancy.lock_duration for tenancy in self._tenancies), default=60_000)
            turn = min(max(shortest / 1000 / 10, SHORTEST_TURN), LONGEST_TURN)
            self._added.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._added.wait(), turn)

    async def _renew(self, tenancy: Tenancy, scripts: Any) -> None:
        lease_s = tenancy.lock_duration / 1000
        now = time.monotonic()
        held = list(tenancy.runs())
        expired = [run for run in held if now - run.renewed >= lease_s]
        due = [run for run in held if lease_s * RENEW_AT <= now - run.renewed < lease_s]
        if due and self._link.is_up:
            ids, tokens = [run.job.id for run in due], [run.token for run in due]
            try:
                refused = await asyncio.wait_for(
                    scripts.extendJobLocks(ids, tokens, tenancy.lock_duration), lease_s / 4
                )
            except (BrokerError, TimeoutError) as error:
                self._bus.emit(
                    Problem(
                        WORKER_ERRORS.BROKER_REFUSED,
                        tenancy.queue,
                        f"renewing leases: {error or 'no answer in time'}",
                    )
                )
            else:
                gone = {job_id.decode("utf-8", "surrogateescape") for job_id in refused}
                for run in due:
                    if run.job.id in gone:
                        expired.append(run)
                    else:
                        run.renewed = now
        if expired:
            tenancy.on_lost(expired)
