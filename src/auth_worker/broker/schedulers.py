"""Job schedulers: when an iteration starts, the next one is created; and the producer's side of them.

The official package's ``JobScheduler`` does the arithmetic (every, limits, dates), with our own reading of cron
patterns (``cron.py``); the scripts see to it that of several workers one creates the next iteration.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import time
from collections.abc import AsyncIterator, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

from bullmq.job_scheduler import JobScheduler

from auth_worker.broker.cron import RepeatStrategy
from auth_worker.broker.link import Link
from auth_worker.broker.repetition import read_repetition
from auth_worker.broker.scripts import builders
from auth_worker.coercion import stored_number
from auth_worker.errors import BrokerUnavailableError, ConfigurationError
from auth_worker.run import Run

_OLD_KEY = re.compile(r"[^:]*:[^:]*:\d*:[^:]*:(?:\d+|.* .*)", re.ASCII | re.DOTALL)
"""The key of a repeatable job as BullMQ had them up to version 5: name:id:end:tz: and a pattern or a number of ms.

A job scheduler may have an id like it.
"""
_NUMBER = re.compile(r"-?\d{1,6}(?:\.\d+)?", re.ASCII)
PAGE = 500
REMEDY = "correct it with JobQueue.upsert_job_scheduler or Node's upsertJobScheduler"


class StoredScheduler(NamedTuple):
    """A scheduler as Redis keeps it: its fields, and when its current iteration is due (epoch ms)."""

    scheduler_id: str
    due: int
    fields: Mapping[str, str]

    def repetition(self, hash_seed: str | None = None) -> dict[str, Any]:
        """Its repeat options, with the number of its iterations so far. Raises ``ValueError`` naming the field."""
        names = ("pattern", "every", "tz", "limit", "offset", "startDate", "endDate")
        given: dict[str, Any] = {name: self.fields[name] for name in names if name in self.fields}
        if _NUMBER.fullmatch(str(given.get("tz"))):  # the hash does not tell a number from a text
            given["tz"] = float(given["tz"])
        count = {"count": self.fields.get("ic"), "hashSeed": hash_seed}
        return read_repetition({**given, **{name: value for name, value in count.items() if value is not None}})

    def template(self) -> dict[str, Any]:
        """The options of its jobs. Raises ``ValueError``."""
        return _options_in(self.fields.get("opts"))

    def ended(self) -> bool:
        """Whether no iteration is to follow: its limit or its end is reached. Raises ``ValueError``."""
        repeat = self.repetition()
        limit, end = repeat.get("limit"), repeat.get("endDate")
        if end is not None and time.time() * 1000 > end:
            return True
        if limit is not None and repeat.get("count", 0) >= limit:
            return True
        return "pattern" in repeat and RepeatStrategy(self.scheduler_id)(self.due, repeat) is None

    def check(self) -> None:
        """Raise ``ValueError`` naming the field that cannot be read."""
        self.template()
        repeat = self.repetition()
        if "pattern" in repeat:
            RepeatStrategy(self.scheduler_id)(self.due, repeat)
        elif not repeat.get("every"):
            raise ValueError("it has neither a pattern nor every")


class Schedulers:
    """The job schedulers of one queue."""

    def __init__(self, link: Link, prefix: str, queue: str, *, lease_s: float = 0.0) -> None:
        """``lease_s``: how long a job is ours after its lock was renewed, for ``advance``."""
        self._link = link
        self._lease_s = lease_s
        self._builders: Any = builders(prefix, queue, link.call)
        self._queue = SimpleNamespace(qualifiedName=f"{prefix}:{queue}", name=queue)

    async def advance(self, run: Run) -> None:
        """Create the iteration after the run's job, if its scheduler still stands and is not at its end.

        Tried again when Redis is back, as long as the job's lock can hold. Source: Node's
        Worker.nextJobFromJobData, updateJobScheduler-12.lua. Raises ``BrokerError``, and ``ConfigurationError``
        when the scheduler cannot be read, or the job repeats as BullMQ 5 did it.
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
        """Raise ``ConfigurationError`` unless a job scheduler has this id: those alone count their iterations."""
        if not await self._link.execute("HEXISTS", f"{self._queue.qualifiedName}:repeat:{scheduler_id}", "ic"):
            raise ConfigurationError(
                f"{scheduler_id!r} repeats as BullMQ did it up to version 5; add a job scheduler in its place "
                "(JobQueue.upsert_job_scheduler, or Node's upsertJobScheduler)"
            )

    def _official(self, scheduler_id: str, data: bytes = b"{}") -> JobScheduler:
        """The official scheduler, which takes the data of a new one as JSON of ours."""
        queue = SimpleNamespace(**{**vars(self._queue), "backend": _Backend(self._builders, data)})
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

    async def stored(self, latest: int | None = None) -> AsyncIterator[StoredScheduler]:
        """The schedulers whose current iteration is due by ``latest`` (epoch ms; None: all), in that order.

        Those of BullMQ up to version 5 are left out. Raises ``BrokerError``.
        """
        key, most = f"{self._queue.qualifiedName}:repeat", "+inf" if latest is None else latest
        for offset in itertools.count(0, PAGE):
            found = await self._link.execute(
                "ZRANGEBYSCORE", key, "-inf", most, "WITHSCORES", "LIMIT", offset, PAGE
            )
            for scheduler_id, due in zip(found[::2], found[1::2], strict=True):
                values = await self._link.execute("HGETALL", key.encode() + b":" + scheduler_id)
                fields = {_text(name): _text(value) for name, value in zip(values[::2], values[1::2], strict=True)}
                at = stored_number(due)
                if "ic" in fields and at is not None:
                    yield StoredScheduler(_text(scheduler_id), at, fields)
            if len(found) < 2 * PAGE:
                return

    async def stopped(self) -> AsyncIterator[tuple[StoredScheduler, dict[str, Any]]]:
        """The schedulers that have lost their chain: the current iteration is over, or gone, and there is no next.

        Each with its last iteration's repeat options, as far as they are left. An iteration creates the next one
        before it ends, so this is none that is about to. Raises ``BrokerError``.
        """
        async for found in self.stored(latest=round(time.time() * 1000)):
            job = f"{self._queue.qualifiedName}:repeat:{found.scheduler_id}:{found.due}"
            name, finished, options = await self._link.execute("HMGET", job, "name", "finishedOn", "opts")
            if name is None or finished is not None:
                yield found, _repeat_in(options)

    async def revive(self) -> tuple[list[str], list[str]]:
        """Create the next iteration of each stopped scheduler, unless it has reached its limit or end.

        The script takes the current iteration for the producer, and does nothing once the scheduler has gone on:
        of several workers one creates it. Returns the ids of the revived, and what is wrong with those that cannot
        be read. Raises ``BrokerError``. Source: updateJobScheduler-12.lua.
        """
        revived: list[str] = []
        unreadable: list[str] = []
        async for found, last in self.stopped():
            scheduler_id = found.scheduler_id
            try:
                job = await self._official(scheduler_id).upsertJobScheduler(
                    scheduler_id,
                    found.repetition(last.get("hashSeed")),
                    found.fields.get("name", ""),
                    None,  # the script takes the data that the scheduler keeps
                    {**found.template(), "prevMillis": found.due},
                    override=False,
                    producer_id=f"repeat:{scheduler_id}:{found.due}",
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
        """Create or change a scheduler; returns the id of its next job, None if there is none left to come.

        ``data`` is JSON. Raises ``ConfigurationError`` when the repeat options make no sense, and ``BrokerError``.
        """
        try:
            job = await self._official(scheduler_id, data).upsertJobScheduler(
                scheduler_id, read_repetition(repeat), name, None, dict(options), override=True
            )
        except ValueError as error:
            raise ConfigurationError(f"job scheduler {scheduler_id!r}: {error}") from error
        return None if job is None else _text(job.id)

    async def remove(self, scheduler_id: str) -> bool:
        """Remove a scheduler and its next job; returns whether there was one. Raises ``BrokerError``."""
        return int(await self._official(scheduler_id).removeJobScheduler(scheduler_id)) == 0


class _Backend:
    """The official builders; ``data`` is what a new scheduler's jobs get, whatever text is given."""

    def __init__(self, official: Any, data: bytes) -> None:
        self._official = official
        self._data = data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._official, name)

    def addJobScheduler(self, scheduler_id: str, due: int, _: str, *options: Any) -> Any:  # noqa: N802 - theirs
        return self._official.addJobScheduler(scheduler_id, due, self._data, *options)


def _options_of(run: Run) -> dict[str, Any]:
    """The job's options as they are stored, short keys and all, with what Node's ``Job`` adds to them."""
    options: dict[str, Any] = {"attempts": 0, **_options_in(run.raw.get(b"opts"))}
    if isinstance(options.get("backoff"), int | float):
        options["backoff"] = {"type": "fixed", "delay": options["backoff"]}
    return options


def _options_in(opts: bytes | str | None) -> dict[str, Any]:
    """What a field ``opts`` holds. Raises ``ValueError``."""
    try:
        options = json.loads(opts or "{}")
    except (ValueError, RecursionError):
        raise ValueError("opts is no JSON") from None
    if not isinstance(options, dict):
        raise ValueError(f"opts is a {type(options).__name__}, not an object")
    return options


def _repeat_in(opts: bytes | None) -> dict[str, Any]:
    """The repeat options in a job's ``opts``, as far as they can be read."""
    try:
        repeat = _options_in(opts).get("repeat")
    except ValueError:
        return {}
    return repeat if isinstance(repeat, dict) else {}


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
