"""Changes a queue in Redis as a whole: the ``QueueChanger``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from auth_worker.brokers.redis.queues import QueueView
from auth_worker.brokers.redis.schedulers import Schedulers
from auth_worker.brokers.redis.scripts.loader import builders, own_script, script
from auth_worker.brokers.redis.stored_schedulers import StoredScheduler
from auth_worker.brokers.redis.text_codec import shown_text
from auth_worker.brokers.redis.wire.link import Link
from auth_worker.core.keys import iteration_id, iteration_of, key_prefix
from auth_worker.core.ports.queue_changes import SchedulerRecord

_DELETE_UNUSED = own_script(
    "deleteUnused",
    """
local entries = redis.call("XREVRANGE", KEYS[1], "+", "-", "COUNT", 2)
if #entries == 1 and entries[1][1] == ARGV[1] then redis.call("DEL", KEYS[1]) end
""",
)
"""Deletes a stream (KEYS[1]) unless it has other entries than one (ARGV[1])."""
NOTICE_S, NEXT_ID_S = 0.1, 0.005
STEP = 1000
"""How many jobs a step of ``obliterate`` removes."""


class QueueChanges:
    """The queue ``queue``, to change. Every coroutine may raise ``BrokerError``.

    ``on_removed`` is called when the queue has been removed.
    """

    def __init__(self, link: Link, prefix: str, queue: str, on_removed: Callable[[], None] = lambda: None) -> None:
        self._link = link
        self._on_removed = on_removed
        self._key_prefix = key_prefix(prefix, queue)
        self._scripts: Any = builders(prefix, queue, link.call)
        self._view = QueueView(link, prefix, queue)
        self._schedulers = Schedulers(link, prefix, queue)

    async def set_paused(self, paused: bool) -> None:
        """As in ``QueueChanger``. Source: pause-7.lua."""
        left = 1
        while left > 0:  # a list of an older BullMQ comes back in pieces
            left = int(await self._scripts.pause(paused) or 0)

    async def set_concurrency(self, limit: int | None) -> None:
        """As in ``QueueChanger``. Source: Node's Queue.setGlobalConcurrency."""
        await self._set_meta({"concurrency": limit})

    async def set_rate_limit(self, limit: tuple[int, int] | None) -> None:
        """As in ``QueueChanger``. Source: Node's Queue.setGlobalRateLimit."""
        most, duration = limit or (None, None)
        await self._set_meta({"max": most, "duration": duration})

    async def job_schedulers(self, limit: int) -> list[SchedulerRecord]:
        """As in ``QueueChanger``."""
        found: list[SchedulerRecord] = []
        async for stored in self._schedulers.stored():
            if len(found) == limit:
                break
            found.append(_repetition(stored))
        return found

    async def last_iterations(self, among: int) -> dict[str, str]:
        """As in ``QueueChanger``."""
        newest: dict[str, tuple[int, str]] = {}
        for state in ("completed", "failed"):
            for job_id in await self._view.ids(state, 0, among):
                if (found := iteration_of(job_id)) is not None:
                    scheduler_id, due = found
                    newest[scheduler_id] = max((due, job_id), newest.get(scheduler_id, (0, "")))
        return {scheduler_id: job_id for scheduler_id, (_, job_id) in newest.items()}

    async def remove_scheduler(self, scheduler_id: str) -> bool:
        """As in ``QueueChanger``. Source: removeJobScheduler-3.lua."""
        return await self._schedulers.remove(scheduler_id)

    async def job_scheduler(self, scheduler_id: str) -> SchedulerRecord | None:
        """As in ``QueueChanger``."""
        found = await self._schedulers.find(scheduler_id)
        return None if found is None else _repetition(found)

    async def deduplication(self, deduplication_id: str) -> str | None:
        """As in ``QueueChanger``."""
        found = await self._link.execute("GET", self._deduplication_key(deduplication_id))
        return None if found is None else shown_text(found)

    async def remove_deduplication(self, deduplication_id: str) -> bool:
        """As in ``QueueChanger``. Source: Node's Queue.removeDeduplicationKey."""
        return bool(await self._link.execute("DEL", self._deduplication_key(deduplication_id)))

    async def update_data(self, job_id: str, data: bytes) -> bool:
        """As in ``QueueChanger``. Source: updateData-1.lua."""
        return int(await self._link.call(script("updateData"), [self._key_prefix + job_id], [data])) == 0

    async def obliterate(self, force: bool) -> bool:
        """As in ``QueueChanger``. Source: obliterate-2.lua, a thousand jobs at a time."""
        was_paused = (await self._view.settings()).paused
        await self.set_paused(True)
        keys = self._scripts.getKeys(["meta", ""])
        while left := int(await self._link.call(script("obliterate"), keys, [STEP, "force" if force else ""])):
            if left < 0:
                if not was_paused:
                    await self.set_paused(False)
                return False
        self._on_removed()
        await self._tell_waiting()
        return True

    async def _tell_waiting(self) -> None:
        """Emit BullMQ's event of jobs that were cleaned, for whoever awaits a result, and leave no key behind.

        Redis passes it on at once to all that wait for it; ``NOTICE_S`` is for those that do not at this moment.
        Ids of entries begin with the time in ms: in a stream made anew within one, a reader may be past them.
        """
        events = f"{self._key_prefix}events"
        await asyncio.sleep(NEXT_ID_S)
        entry = await self._link.execute("XADD", events, "*", "event", "cleaned", "count", 0)
        await asyncio.sleep(NOTICE_S)
        await self._link.call(_DELETE_UNUSED, [events], [entry])

    async def _set_meta(self, fields: dict[str, int | None]) -> None:
        key = f"{self._key_prefix}meta"
        if None in fields.values():
            await self._link.execute("HDEL", key, *fields)
        else:
            pairs = [part for field, value in fields.items() if value is not None for part in (field, value)]
            await self._link.execute("HSET", key, *pairs)

    def _deduplication_key(self, deduplication_id: str) -> str:
        return f"{self._key_prefix}de:{deduplication_id}"


def _repetition(stored: StoredScheduler) -> SchedulerRecord:
    problem, repeat = None, {}
    try:
        repeat = stored.repetition()
        stored.check()
    except ValueError as error:
        problem = str(error)
    fields = stored.fields
    name = fields.get("name", "")
    return SchedulerRecord(
        stored.scheduler_id,
        name,
        stored.due,
        repeat,
        fields.get("data"),
        fields.get("opts"),
        problem,
        iteration_id(stored.scheduler_id, stored.due),
    )
