"""Changes the jobs of one queue for operators: retry, promote, remove, drain, clean, a new priority or delay.

Every step is a script of BullMQ's, atomic in itself. Many of them are sent on one connection together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from auth_worker.brokers.redis.cancellations import Cancellations
from auth_worker.brokers.redis.dead_lettering import DeadLettering
from auth_worker.brokers.redis.decode import DEAD_LETTER_FIELD
from auth_worker.brokers.redis.retries import retry_call
from auth_worker.brokers.redis.scripts.loader import (
    ADD_LOG,
    CHANGE_DELAY,
    builders,
    prefixed_script,
    script,
    take_call,
    whole_call,
)
from auth_worker.brokers.redis.text_codec import exact_text
from auth_worker.brokers.redis.wire.link import Link
from auth_worker.brokers.redis.wire.transactions import run_transaction
from auth_worker.core.clock import now_ms
from auth_worker.core.coercion import is_truthy
from auth_worker.core.json_codec import decode_json
from auth_worker.core.keys import job_key, key_prefix
from auth_worker.core.ports.values import ChangeResult

_RESULTS = {
    1: ChangeResult.DONE,
    0: ChangeResult.LOCKED,
    -1: ChangeResult.NO_JOB,
    -3: ChangeResult.WRONG_STATE,
    -8: ChangeResult.NEEDED_BY_SCHEDULER,
}
"""The return codes of reprocessJob and removeJob. The other scripts return 0 for success."""
_WHILE_FAILED = """
local auth_worker_job = table.remove(ARGV)
if not redis.call("ZSCORE", table.remove(KEYS), auth_worker_job) then return -3 end
"""
"""Put before removeJob: do it only while the job (last ARGV) is in the failed set (last KEYS)."""
_UNLESS_FINISHED = """
for _ = 1, 2 do if redis.call("ZSCORE", table.remove(KEYS), ARGV[3]) then return -3 end end
"""
"""Put before changePriority: do not do it once the job is in the completed or failed set (the last two KEYS)."""
_STEP = """
local auth_worker_count = tonumber(table.remove(ARGV))
local auth_worker_kept, auth_worker_taken = {}, {}
for _, id in ipairs(redis.call("LRANGE", KEYS[1], -auth_worker_count, -1)) do
  local scheduler = redis.call("HGET", ARGV[1] .. id, "rjk")
  local at = scheduler and redis.call("ZSCORE", KEYS[5], scheduler)
  if at and id == "repeat:" .. scheduler .. ":" .. at then table.insert(auth_worker_kept, id)
  else table.insert(auth_worker_taken, id) end
end
redis.call("LTRIM", KEYS[1], 0, -1 - auth_worker_count)
if #auth_worker_kept > 0 then redis.call("LPUSH", KEYS[1], unpack(auth_worker_kept)) end
if #auth_worker_taken == 0 then return 0 end
redis.call("XADD", ARGV[1] .. "events", "*", "event", "cleaned", "count", #auth_worker_taken)
KEYS[1] = KEYS[2]
redis.call("RPUSH", KEYS[1], unpack(auth_worker_taken))
"""
"""Put before drain: drain not the whole list (KEYS[1]), which could take Redis seconds, but its last jobs, as many
as the last ARGV says. They are moved to an empty list (KEYS[2]), which drain then empties. The job that a job
scheduler waits for stays, at the end of the queue. Whoever awaits a result learns of it by BullMQ's event of jobs
that were cleaned, since drain emits none.
"""
_PRIORITY_KEYS = ("wait", "paused", "meta", "prioritized", "active", "pc", "marker", "completed", "failed")
_OF_A_RETRY = ("timestamp", "delay", "atm", "opts", DEAD_LETTER_FIELD)


class JobChanges:
    """Changes to the jobs of the queue ``queue``: a ``JobChanger``."""

    def __init__(self, link: Link, prefix: str, queue: str) -> None:
        self._link = link
        self._prefix = prefix
        self._queue = queue
        self._key_prefix = key_prefix(prefix, queue)
        self._cancellations = Cancellations(link, prefix, queue)
        self._dead_lettering: dict[str, DeadLettering] = {}
        self._scripts: Any = builders(prefix, queue, link.call)
        self._builders: Any = builders(prefix, queue, take_call)

    async def retry(self, ids: Sequence[str], dead_letter_queues: Collection[str]) -> list[ChangeResult]:
        """Put finished jobs back to wait with fresh attempts.

        The dead letter of a failed one is removed in the same step, whichever of ``dead_letter_queues`` has it.
        Raises ``BrokerError``.
        """
        return list(await asyncio.gather(*(self._retry(job_id, dead_letter_queues) for job_id in ids)))

    async def promote(self, job_id: str) -> ChangeResult:
        """Let a delayed job run now. Source: promote-9.lua. Raises ``BrokerError``."""
        keys, args = self._builders.promoteArgs(job_id)
        if int(await self._link.call(script("promote"), keys, args)) == 0:
            return ChangeResult.DONE
        is_there = await self._link.execute("EXISTS", self._key_prefix + job_id)
        return ChangeResult.WRONG_STATE if is_there else ChangeResult.NO_JOB

    async def remove(self, job_id: str, children: bool = False) -> ChangeResult:
        """Remove a job, and with ``children`` its children. Source: removeJob-2.lua.

        An id without a job counts as removed. Raises ``BrokerError``.
        """
        return _result_of(int(await self._scripts.remove(job_id, children)))

    async def cancel(self, job_id: str, reason: str) -> ChangeResult:
        """Cancel a job that has not finished. Raises ``BrokerError``."""
        return await self._cancellations.cancel(job_id, reason)

    async def dead_letter(self, job_id: str, to: str, reason: str) -> ChangeResult:
        """Fail a job that does not run, and add its dead letter to the queue ``to``. Raises ``BrokerError``."""
        if to not in self._dead_lettering:
            self._dead_lettering[to] = DeadLettering(self._link, self._prefix, self._queue, to)
        return await self._dead_lettering[to].move(job_id, reason)

    async def change_priority(self, job_id: str, priority: int) -> ChangeResult:
        """Give a job that has not finished another priority, 0 for none. Source: changePriority-7.lua.

        Raises ``BrokerError``.
        """
        keys = [f"{self._key_prefix}{name}" for name in _PRIORITY_KEYS]
        args = [priority, self._key_prefix, job_id, 0]
        return _result_of(
            int(await self._link.call(prefixed_script("changePriority", _UNLESS_FINISHED), keys, args)) or 1
        )

    async def change_delay(self, job_id: str, delay: int) -> ChangeResult:
        """Let a delayed job run in ``delay`` ms from now. Source: changeDelay-4.lua, which has no builder.

        Raises ``BrokerError``.
        """
        keys = [f"{self._key_prefix}{name}" for name in ("delayed", "meta", "marker", "events")]
        args = [delay, now_ms(), job_id, self._key_prefix + job_id]
        return _result_of(int(await self._link.call(script(CHANGE_DELAY), keys, args)) or 1)

    async def add_log(self, job_id: str, line: str, most: int) -> bool:
        """Add a line to a job's log, of which the last ``most`` are kept. Source: addLog-2.lua.

        Returns whether the job exists. Raises ``BrokerError``.
        """
        key = self._key_prefix + job_id
        return int(await self._link.call(script(ADD_LOG), [key, f"{key}:logs"], [job_id, line, most])) >= 0

    async def overwrite_data(self, job_id: str, data: bytes) -> None:
        """Replace the stored data of a job, unchecked: as a broken producer would, to try what comes of it.

        Raises ``BrokerError``.
        """
        await self._link.execute("HSET", self._key_prefix + job_id, "data", data)

    async def drain_step(self, state: str, count: int) -> None:
        """Remove the next ``count`` jobs of the list ``state``. Source: drain-5.lua. Raises ``BrokerError``."""
        emptied = "drained-now"  # in place of the paused and prioritized jobs too, which must stay
        names = [state, emptied, emptied, emptied, "repeat"]
        keys = [self._key_prefix + name for name in names]
        await self._link.call(prefixed_script("drain", _STEP), keys, [self._key_prefix, "0", count])

    async def clean_step(self, state: str, before: int, count: int) -> int:
        """Remove up to ``count`` finished jobs from before then (epoch ms); returns how many.

        Source: cleanJobsInSet-3.lua. Raises ``BrokerError``.
        """
        keys, args = self._scripts.cleanJobsInSetArgs(state, 0, count)
        args[1] = before
        return len(await self._link.call(script("cleanJobsInSet"), keys, args))

    async def _retry(self, job_id: str, dead_letter_queues: Collection[str]) -> ChangeResult:
        stored = await self._link.execute("HMGET", self._key_prefix + job_id, *_OF_A_RETRY)
        if all(value is None for value in stored):
            return ChangeResult.NO_JOB
        *_, opts, mark = stored
        letter = await self._letter(mark, dead_letter_queues)
        state = await self._finished_as(job_id)
        if state is None:
            return ChangeResult.WRONG_STATE
        reprocess = retry_call(self._prefix, self._queue, job_id, state, lifo=_is_lifo(opts))
        if letter is None or state != "failed":
            return _result_of(int(await self._link.call(*reprocess)))
        queue, letter_id = letter
        _, keys, args = builders(self._prefix, queue, take_call).remove(letter_id, False)
        guarded = prefixed_script("removeJob", _WHILE_FAILED)
        discard = (guarded, [*keys, f"{self._key_prefix}failed"], [*args, job_id])
        replies = await run_transaction(self._link, [whole_call(discard), whole_call(reprocess)])
        return _result_of(int(replies[-1] if replies else 0))

    async def _letter(self, mark: bytes | None, queues: Collection[str]) -> tuple[str, str] | None:
        """The dead-letter queue and the id of the dead letter a job is marked with, if it is still there."""
        if mark is None:
            return None
        for queue in queues:
            letter_id = exact_text(mark)
            if await self._link.execute("EXISTS", job_key(self._prefix, queue, letter_id)):
                return queue, letter_id
        return None

    async def _finished_as(self, job_id: str) -> str | None:
        states = ("completed", "failed")
        scores = await asyncio.gather(
            *(self._link.execute("ZSCORE", self._key_prefix + state, job_id) for state in states)
        )
        return next((state for state, score in zip(states, scores, strict=True) if score is not None), None)


def _result_of(reply: int) -> ChangeResult:
    return _RESULTS.get(reply, ChangeResult.REFUSED)


def _is_lifo(opts: bytes | None) -> bool:
    try:
        read = decode_json((opts or b"{}").decode())
    except (ValueError, RecursionError):
        return False
    return isinstance(read, Mapping) and is_truthy(read.get("lifo"))
