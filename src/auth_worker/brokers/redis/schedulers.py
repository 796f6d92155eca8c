"""Creates the next iteration of a job scheduler when one starts, and adds and removes schedulers for producers.

The official package's ``JobScheduler`` computes the times (every, limits, dates), with our own reading of cron
patterns (``cron.py``). The scripts ensure that only one of several workers creates the next iteration.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from bullmq.job_scheduler import JobScheduler

from auth_worker.brokers.redis.scripts.loader import builders
from auth_worker.brokers.redis.stored_schedulers import OLD_KEY, OLD_REPEATABLE, StoredScheduler, options_in
from auth_worker.brokers.redis.text_codec import stored_bytes
from auth_worker.brokers.redis.wire.batch import execute_all
from auth_worker.brokers.redis.wire.link import Link
from auth_worker.brokers.redis.wire.resp import pairs_of
from auth_worker.core.clock import now_ms
from auth_worker.core.coercion import MAX_NUMBER
from auth_worker.core.cron import RepeatStrategy
from auth_worker.core.keys import iteration_id, queue_key
from auth_worker.core.repetition import REMEDY, new_repetition, read_repetition
from auth_worker.core.run import Run
from auth_worker.errors import BrokerUnavailableError, ConfigurationError

_HASHED_KEY = re.compile(r"[0-9a-f]{32}")
"""The key of a repeatable job of BullMQ's late version 5, which continues as a job scheduler."""
PAGE, READ_AT_ONCE = 500, 50


class Schedulers:
    """The job schedulers of one queue."""

    def __init__(self, link: Link, prefix: str, queue: str, *, lease_s: float = 0.0) -> None:
        """``lease_s``: how long (s) a job is ours after its lock was renewed, for ``advance``."""
        self._link = link
        self._lease_s = lease_s
        self._scripts: Any = builders(prefix, queue, link.call)
        self._queue = SimpleNamespace(qualifiedName=queue_key(prefix, queue), name=queue)
        self._repeat = f"{self._queue.qualifiedName}:repeat"

    async def advance(self, run: Run) -> None:
        """Create the iteration after the run's job, if its scheduler still exists and has not ended.

        Tried again when Redis is back, as long as the job's lock can hold. Source: Node's
        Worker.nextJobFromJobData, updateJobScheduler-12.lua. Raises ``BrokerError``, and ``ConfigurationError``
        when the scheduler cannot be read, or the job repeats as BullMQ 5 did it.
        """
        scheduler_id = run.scheduler_id
        while True:
            try:
                if OLD_KEY.fullmatch(scheduler_id):
                    await self._refuse_old(scheduler_id)
                elif _HASHED_KEY.fullmatch(scheduler_id):
                    await self._keep_data(scheduler_id, run)
                await self._advance(scheduler_id, run)
                return
            except BrokerUnavailableError as error:
                left = run.renewed + self._lease_s - time.monotonic()
                try:
                    await asyncio.wait_for(self._link.wait_up(), max(left, 0))
                except TimeoutError:
                    raise error from None

    async def _refuse_old(self, scheduler_id: str) -> None:
        """Raise ``ConfigurationError`` unless a job scheduler has this id: only those count their iterations."""
        if not await self._link.execute("HEXISTS", f"{self._repeat}:{scheduler_id}", "ic"):
            raise ConfigurationError(
                f"job scheduler {scheduler_id!r}: {OLD_REPEATABLE} "
                "(JobQueue.upsert_job_scheduler, or Node's upsertJobScheduler)"
            )

    async def _keep_data(self, scheduler_id: str, run: Run) -> None:
        """Store the data of a repeatable job of BullMQ 5 in its scheduler, since only that job has it."""
        key = f"{self._repeat}:{scheduler_id}"
        name, iterations, data = await self._link.execute("HMGET", key, "name", "ic", "data")
        if name is not None and iterations is None and data is None:
            await self._link.execute("HSET", key, "data", run.stored.get(b"data", b"{}"))

    def _official(self, scheduler_id: str, data: bytes = b"{}") -> JobScheduler:
        """Create the official scheduler, which takes the data of a new one as JSON of ours."""
        queue = SimpleNamespace(**{**vars(self._queue), "backend": _Backend(self._scripts, data)})
        return JobScheduler(queue, RepeatStrategy(scheduler_id))

    async def _advance(self, scheduler_id: str, run: Run) -> None:
        try:
            options = _options_of(run)
            await self._official(scheduler_id).upsertJobScheduler(
                scheduler_id,
                read_repetition(options.get("repeat") or {}),
                run.job.name,
                None,  # the script takes the data that the scheduler keeps
                options,
                override=False,
                producer_id=run.job.id,
            )
        except ValueError as error:
            raise ConfigurationError(f"job scheduler {scheduler_id!r}: {error}; {REMEDY}") from error

    async def stored(self, latest: int | None = None, most: int | None = None) -> AsyncIterator[StoredScheduler]:
        """Yield the schedulers whose current iteration is due by ``latest`` (epoch ms; None: all), in that order.

        Then those that are never due, since their time is not a valid number. At most ``most`` (None: all). Raises
        ``BrokerError``.
        """
        left = most
        async for page in self._pages(latest, PAGE if most is None else min(most, PAGE)):
            for found in page[:left]:
                yield found
            if left is not None and (left := left - len(page)) <= 0:
                return

    async def _pages(self, latest: int | None, size: int) -> AsyncIterator[list[StoredScheduler]]:
        """As ``stored``, in pages of ``size`` and less. What is read together costs Redis less."""
        spans: list[tuple[str, str | int]] = [("-inf", "+inf")]
        if latest is not None:
            spans = [("-inf", latest), (f"({max(latest, MAX_NUMBER)}", "+inf")]
        for least, most in spans:
            for offset in itertools.count(0, size):
                found = await self._link.execute(
                    "ZRANGEBYSCORE", self._repeat, least, most, "WITHSCORES", "LIMIT", offset, size
                )
                dues = list(pairs_of(found).items())
                for start in range(0, len(dues), READ_AT_ONCE):
                    yield await self._read(dues[start : start + READ_AT_ONCE])
                if len(found) < 2 * size:
                    break

    async def find(self, scheduler_id: str) -> StoredScheduler | None:
        """Return the scheduler with this id; None if there is none. Raises ``BrokerError``."""
        due = await self._link.execute("ZSCORE", self._repeat, scheduler_id)
        return None if due is None else (await self._read([(stored_bytes(scheduler_id), due)]))[0]

    async def _read(self, dues: Sequence[tuple[bytes, bytes]]) -> list[StoredScheduler]:
        """Read schedulers by id, each with when its iteration is due: the fields are in a hash of its own."""
        key = self._repeat.encode() + b":"
        found = await execute_all(self._link, [("HGETALL", key + scheduler_id) for scheduler_id, _ in dues])
        return [
            StoredScheduler.of(
                _text(scheduler_id),
                _text(due),
                {_text(name): _text(value) for name, value in pairs_of(values).items()},
            )
            for (scheduler_id, due), values in zip(dues, found, strict=True)
        ]

    async def stopped(self) -> AsyncIterator[tuple[StoredScheduler, dict[str, Any]]]:
        """Yield the stopped schedulers: the current iteration is over, or gone, and there is no next one.

        Each comes with its last iteration's repeat options, if they are left. An iteration creates the next one
        before it ends, so it is not just about to. Raises ``BrokerError``.
        """
        async for page in self._pages(now_ms(), PAGE):
            keys = [f"{self._queue.qualifiedName}:{iteration_id(each.scheduler_id, each.due)}" for each in page]
            jobs = await execute_all(self._link, [("HMGET", key, "name", "finishedOn", "opts") for key in keys])
            for found, (name, finished, options) in zip(page, jobs, strict=True):
                if name is None or finished is not None:
                    yield found, _repeat_in(options)

    async def revive(self) -> tuple[list[str], list[str]]:
        """Create the next iteration of each stopped scheduler, unless it has reached its limit or end.

        The script accepts the current iteration as the producer, and does nothing once the scheduler has advanced:
        only one of several workers creates it. Returns the ids of the revived ones, and what is wrong with those
        that cannot be read. Raises ``BrokerError``. Source: updateJobScheduler-12.lua.
        """
        revived: list[str] = []
        unreadable: list[str] = []
        async for found, last in self.stopped():
            scheduler_id = found.scheduler_id
            try:
                if found.fault:
                    raise ValueError(found.fault)
                job = await self._official(scheduler_id).upsertJobScheduler(
                    scheduler_id,
                    found.repetition(last.get("hashSeed")),
                    found.fields.get("name", ""),
                    None,  # the script takes the data that the scheduler keeps
                    {**found.template(), "prevMillis": found.due},
                    override=False,
                    producer_id=iteration_id(scheduler_id, found.due),
                )
            except ValueError as error:
                unreadable.append(f"job scheduler {scheduler_id!r}: {error}")
            else:
                revived += [] if job is None else [scheduler_id]
        return revived, unreadable

    async def upsert(
        self,
        scheduler_id: str,
        repeat: Mapping[str, Any],
        name: str,
        data: bytes,
        options: Mapping[str, Any],
    ) -> str | None:
        """Create or change a scheduler, and return the id of its next job, None if none is left to come.

        ``data`` is JSON. Raises ``ConfigurationError`` if the repeat options are invalid, and ``BrokerError``.
        """
        try:
            job = await self._official(scheduler_id, data).upsertJobScheduler(
                scheduler_id, new_repetition(repeat), name, None, dict(options), override=True
            )
        except ValueError as error:
            raise ConfigurationError(f"job scheduler {scheduler_id!r}: {error}") from error
        return None if job is None else _text(job.id)

    async def remove(self, scheduler_id: str) -> bool:
        """Remove a scheduler and its next job, and return whether there was one. Raises ``BrokerError``."""
        return int(await self._official(scheduler_id).removeJobScheduler(scheduler_id)) == 0


class _Backend:
    """The official builders. ``data`` is what a new scheduler's jobs get, whatever text is given."""

    def __init__(self, official: Any, data: bytes) -> None:
        self._official = official
        self._data = data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._official, name)

    def addJobScheduler(self, scheduler_id: str, due: int, _: str, *options: Any) -> Any:  # noqa: N802 - theirs
        return self._official.addJobScheduler(scheduler_id, due, self._data, *options)


def _options_of(run: Run) -> dict[str, Any]:
    """Return the job's stored options, with their short keys, and what Node's ``Job`` adds to them."""
    options: dict[str, Any] = {"attempts": 0, **options_in(run.stored.get(b"opts"))}
    if isinstance(options.get("backoff"), int | float):
        options["backoff"] = {"type": "fixed", "delay": options["backoff"]}
    return options


def _repeat_in(opts: bytes | None) -> dict[str, Any]:
    """Return the repeat options in a job's ``opts``, if they can be read, else {}."""
    try:
        repeat = options_in(opts).get("repeat")
    except ValueError:
        return {}
    return repeat if isinstance(repeat, dict) else {}


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
