"""What an operator does to the jobs of one queue: retry, promote, remove, other priority or delay, pause, drain.

Every step is a script of BullMQ's, atomic in itself, and many of them go out on one connection together.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Sequence
from functools import cache
from types import SimpleNamespace
from typing import Any

from bullmq.redis_connection import loadScript

from auth_worker.broker.link import Link
from auth_worker.broker.scripts import Script, builders, script, whole_call
from auth_worker.broker.wire import error_of, is_error
from auth_worker.dead_letter import MARK
from auth_worker.errors import BrokerError

OK, GONE, LOCKED, ELSEWHERE, SCHEDULED = 1, -1, 0, -3, -8
"""What a change answers: done; no such job; a worker has it; not in that state; its scheduler needs it."""

_FRESH = f"""
if redis.call("ZSCORE", KEYS[3], ARGV[1]) then redis.call("HDEL", KEYS[1], "stc", "defa", "{MARK}") end
"""
_WHILE_FAILED = """
local auth_worker_job = table.remove(ARGV)
if not redis.call("ZSCORE", table.remove(KEYS), auth_worker_job) then return -3 end
"""
_UNLESS_FINISHED = """
for _ = 1, 2 do if redis.call("ZSCORE", table.remove(KEYS), ARGV[3]) then return -3 end end
"""
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
KEYS[1] = KEYS[2]
redis.call("RPUSH", KEYS[1], unpack(auth_worker_taken))
"""
"""Put before BullMQ's own scripts. ``_FRESH``: a retried job loses what would end it at once, its count of stalls
and its sentence, and the mark of its letter. ``_WHILE_FAILED``: do it only while the job (last ARGV) is in the
failed set (last KEYS). ``_UNLESS_FINISHED``: do not do it once the job is in the completed or failed set (the last
two KEYS). ``_STEP``: drain not the whole list, which could take Redis seconds, but the last so many
(last ARGV), through an empty list (KEYS[2]); what a job scheduler waits for stays, at the end of the queue.
"""


@cache
def _changed(name: str, prelude: str) -> Script:
    text = prelude + script(name).text
    return Script(name, text, hashlib.sha1(text.encode()).hexdigest())  # noqa: S324 - Redis names them so


@cache
def _change_delay() -> Script:
    text = str(loadScript("changeDelay-4.lua"))
    return Script("changeDelay", text, hashlib.sha1(text.encode()).hexdigest())  # noqa: S324 - Redis names them so


class JobChanges:
    """Changes to the queue ``queue``. Every method raises ``BrokerError``."""

    def __init__(self, link: Link, prefix: str, queue: str) -> None:
        self._link = link
        self._prefix = prefix
        self._queue = queue
        self._key_prefix = f"{prefix}:{queue}:"
        self._call: Any = builders(prefix, queue, link.call)
        self._prepared: Any = builders(prefix, queue, _prepared)

    async def retry(self, job_id: str, state: str, lifo: bool, letter: tuple[str, str] | None) -> int:
        """Put a finished job back to wait with fresh attempts, its letter (queue, id) removed in the same step.

        Source: reprocessJob-9.lua, removeJob-2.lua.
        """
        job = SimpleNamespace(id=job_id, opts={"lifo": lifo})
        reset = {"resetAttemptsMade": True, "resetAttemptsStarted": True}
        taken: list[tuple[Script, list[Any], list[Any]]] = []

        async def take(called: Script, keys: list[Any], args: list[Any]) -> int:
            taken.append((called, keys, args))
            return 1

        await builders(self._prefix, self._queue, take).reprocessJob(job, state, reset)
        _, keys, args = taken[0]
        reprocess = (_changed("reprocessJob", _FRESH), keys, args)
        if letter is None or state != "failed":
            return int(await self._link.call(*reprocess))
        queue, letter_id = letter
        _, keys, args = builders(self._prefix, queue, _prepared).remove(letter_id, False)
        guarded = _changed("removeJob", _WHILE_FAILED)
        discard = (guarded, [*keys, f"{self._key_prefix}failed"], [*args, job_id])
        replies = await self._transaction([whole_call(discard), whole_call(reprocess)])
        return int(replies[-1])

    async def promote(self, job_id: str) -> int:
        """Let a delayed job run now. Source: promote-9.lua."""
        return OK if int(await self._link.call(*self._prepared_promotion(job_id))) == 0 else ELSEWHERE

    async def remove(self, job_id: str, children: bool = False) -> int:
        """Remove a job, and with ``children`` its children. Source: removeJob-2.lua.

        An id without a job counts as removed.
        """
        return int(await self._call.remove(job_id, children))

    async def change_priority(self, job_id: str, priority: int, lifo: bool = False) -> int:
        """Give a job that has not finished another priority, 0 for none. Source: changePriority-7.lua."""
        keys = [f"{self._key_prefix}{name}" for name in _PRIORITY_KEYS]
        args = [priority, self._key_prefix, job_id, int(lifo)]
        reply = int(await self._link.call(_changed("changePriority", _UNLESS_FINISHED), keys, args))
        return OK if reply == 0 else reply

    async def change_delay(self, job_id: str, delay: int) -> int:
        """Let a delayed job run in ``delay`` ms from now. Source: changeDelay-4.lua, which has no builder."""
        keys = [f"{self._key_prefix}{name}" for name in ("delayed", "meta", "marker", "events")]
        args = [delay, round(time.time() * 1000), job_id, self._key_prefix + job_id]
        reply = int(await self._link.call(_change_delay(), keys, args))
        return OK if reply == 0 else reply

    async def pause(self, paused: bool) -> None:
        """Pause the queue for all its workers, or resume it. Source: pause-7.lua."""
        left = 1
        while left > 0:  # a list of an older BullMQ comes back in pieces
            left = int(await self._call.pause(paused) or 0)

    async def drain_step(self, state: str, count: int) -> None:
        """Remove the next ``count`` jobs of the list ``state``. Source: drain-5.lua."""
        names = [state, "drained-now", "drained-now", "drained-now", "repeat"]
        keys = [self._key_prefix + name for name in names]
        await self._link.call(_changed("drain", _STEP), keys, [self._key_prefix, "0", count])

    async def clean_step(self, state: str, finished_before: int, count: int) -> list[bytes]:
        """Remove up to ``count`` finished jobs from before then (epoch ms). Source: cleanJobsInSet-3.lua."""
        keys, args = self._call.cleanJobsInSetArgs(state, 0, count)
        args[1] = finished_before
        removed: list[bytes] = await self._link.call(script("cleanJobsInSet"), keys, args)
        return removed

    def _prepared_promotion(self, job_id: str) -> tuple[Script, list[Any], list[Any]]:
        keys, args = self._prepared.promoteArgs(job_id)
        return script("promote"), keys, args

    async def _transaction(self, commands: Sequence[bytes]) -> list[Any]:
        replies: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def replied(reply: Any) -> None:
            if not replies.done():
                replies.set_result(reply)

        self._link.send_transaction(list(commands), replied)
        answer = await replies
        if isinstance(answer, BrokerError):
            raise answer
        for reply in answer:
            if is_error(reply):
                raise error_of(reply)
        return list(answer)


_PRIORITY_KEYS = ("wait", "paused", "meta", "prioritized", "active", "pc", "marker", "completed", "failed")


def _prepared(called: Script, keys: list[Any], args: list[Any]) -> Any:
    return called, keys, args
