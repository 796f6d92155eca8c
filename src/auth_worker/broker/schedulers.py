"""Job schedulers: when an iteration starts, the next one is created; and the producer's side of them.

The official package's ``JobScheduler`` does the arithmetic (every, limits, dates), with our own reading of cron
patterns (``cron.py``); the scripts see to it that of several workers one creates the next iteration.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from bullmq.job_scheduler import JobScheduler

from auth_worker.broker.cron import RepeatStrategy
from auth_worker.broker.link import Link
from auth_worker.broker.scripts import builders
from auth_worker.errors import BrokerUnavailableError, ConfigurationError
from auth_worker.run import Run

_OLD_KEY = re.compile(r"[^:]*:[^:]*:\d*:[^:]*:(?:\d+|.* .*)", re.ASCII | re.DOTALL)
"""The key of a repeatable job as BullMQ had them up to version 5: name:id:end:tz: and a pattern or a number of ms.

A job scheduler may have an id like it.
"""


class Schedulers:
    """The job schedulers of one queue."""

    def __init__(self, link: Link, prefix: str, queue: str, *, lease_s: float = 0.0) -> None:
        """``lease_s``: how long a job is ours after its lock was renewed, for ``advance``."""
        self._link = link
        self._lease_s = lease_s
        backend: Any = builders(prefix, queue, link.call)
        self._queue = SimpleNamespace(backend=backend, qualifiedName=f"{prefix}:{queue}", name=queue)

    async def advance(self, run: Run) -> None:
        """Create the iteration after the run's job, if its scheduler still stands and is not at its end.

        Tried again when Redis is back, as long as the job's lock can hold. Source: Node's
        Worker.nextJobFromJobData, updateJobScheduler-12.lua. Raises ``BrokerError``, and ``ValueError`` when the
        pattern or the time zone cannot be read, or the job repeats as BullMQ 5 did it.
        """
        scheduler_id = run.raw[b"rjk"].decode()
        while True:
            try:
                if _OLD_KEY.fullmatch(scheduler_id):
                    await self._refuse_old(scheduler_id)
                await self._advance(scheduler_id, run)
                return
            except BrokerUnavailableError as error:
                left = run.renewed + self._lease_s - time.monotonic()
                try:
                    await asyncio.wait_for(self._link.wait_up(), max(left, 0))
                except TimeoutError:
                    raise error from None

    async def _refuse_old(self, scheduler_id: str) -> None:
        """Raise ``ValueError`` unless there is a job scheduler of this id: those alone count their iterations."""
        if not await self._link.execute("HEXISTS", f"{self._queue.qualifiedName}:repeat:{scheduler_id}", "ic"):
            raise ValueError(
                f"{scheduler_id!r} repeats as BullMQ did it up to version 5; add a job scheduler in its place "
                "(JobQueue.upsert_job_scheduler, or Node's upsertJobScheduler)"
            )

    def _official(self, scheduler_id: str) -> JobScheduler:
        return JobScheduler(self._queue, RepeatStrategy(scheduler_id))

    async def _advance(self, scheduler_id: str, run: Run) -> None:
        options = _options_of(run)
        await self._official(scheduler_id).upsertJobScheduler(
            scheduler_id,
            dict(options.get("repeat") or {}),
            run.job.name,
            run.job.data,
            options,
            override=False,
            producer_id=run.job.id,
        )

    async def upsert(
        self,
        scheduler_id: str,
        repeat: Mapping[str, Any],
        name: str,
        data: Any,
        options: Mapping[str, Any],
    ) -> str | None:
        """Create or change a scheduler; returns the id of its next job, None if there is none left to come.

        Raises ``ConfigurationError`` when the repeat options make no sense, and ``BrokerError``.
        """
        try:
            job = await self._official(scheduler_id).upsertJobScheduler(
                scheduler_id, dict(repeat), name, data, dict(options), override=True
            )
        except ValueError as error:
            raise ConfigurationError(f"job scheduler {scheduler_id!r}: {error}") from error
        return None if job is None else _text(job.id)

    async def remove(self, scheduler_id: str) -> bool:
        """Remove a scheduler and its next job; returns whether there was one. Raises ``BrokerError``."""
        return int(await self._official(scheduler_id).removeJobScheduler(scheduler_id)) == 0


def _options_of(run: Run) -> dict[str, Any]:
    """The job's options as they are stored, short keys and all, with what Node's ``Job`` adds to them."""
    options: dict[str, Any] = {"attempts": 0, **json.loads(run.raw.get(b"opts") or b"{}")}
    if isinstance(options.get("backoff"), int | float):
        options["backoff"] = {"type": "fixed", "delay": options["backoff"]}
    return options


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
