"""Cancellations: a waiting job fails at once; the worker of a running one is asked to stop it; children too.

The request for a running job is a mark in its hash, BullMQ's own deferred failure (``defa``): a worker that
fetches the job again, Node's too, fails it without a run, and lease renewals see it. An entry in the queue's
stream ``cancellations`` tells the worker at once. One script does either, so that a job has one outcome.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import msgpack

from auth_worker.brokers.redis.scripts.frames import ID, VALUE, finish_args
from auth_worker.brokers.redis.scripts.loader import builders, own_script, prefixed_script, take_call
from auth_worker.brokers.redis.text_codec import exact_text, stored_bytes
from auth_worker.brokers.redis.wire.link import Link
from auth_worker.brokers.redis.wire.resp import pairs_of
from auth_worker.config import WorkerConfig
from auth_worker.core.cancellation import given_reason
from auth_worker.core.clock import now_ms
from auth_worker.core.decisions import class_of_failure
from auth_worker.core.keys import key_prefix, place_of
from auth_worker.core.outcome import ReasonClass
from auth_worker.core.policy import JobPolicy, read_options
from auth_worker.core.ports.connections import OnCancelled
from auth_worker.core.ports.values import ChangeResult
from auth_worker.core.worker_config import Retention
from auth_worker.errors import BrokerError, JobCancelledError

MOST_ENTRIES, ENTRIES_LAST_MS = 1000, 3_600_000
"""About how many requests a queue's stream keeps, and how long (ms) after the last one."""
BLOCK_S = 5.0
"""How long (s) one read of the stream waits for a request."""
PAUSE_S = 0.5
"""How long (s) to wait after a read that failed."""
MOST_AT_ONCE = 100
"""How many children are cancelled at a time."""
_HOLDER = "cancelled"
"""The token of the lock under which the script fails a waiting job."""
_RESULTS = {
    0: ChangeResult.DONE,
    2: ChangeResult.REQUESTED,
    3: ChangeResult.LOCKED,
    -1: ChangeResult.NO_JOB,
    -3: ChangeResult.WRONG_STATE,
    -8: ChangeResult.NEEDED_BY_SCHEDULER,
}
_TAKE = f"""
local auth_worker_stream = table.remove(KEYS)
local auth_worker_repeat = table.remove(KEYS)
local auth_worker_parents = table.remove(KEYS)
local auth_worker_completed = table.remove(KEYS)
local auth_worker_id, auth_worker_job = ARGV[1], KEYS[12]
if redis.call("EXISTS", auth_worker_job) == 0 then return -1 end
if redis.call("ZSCORE", KEYS[11], auth_worker_id)
or redis.call("ZSCORE", auth_worker_completed, auth_worker_id) then
  redis.call("HDEL", auth_worker_job, "defa")
  return -3
end
if redis.call("LPOS", KEYS[2], auth_worker_id) then
  redis.call("HSET", auth_worker_job, "defa", ARGV[4])
  redis.call("XADD", auth_worker_stream, "MAXLEN", "~", {MOST_ENTRIES}, "*", "id", auth_worker_id,
    "token", redis.call("GET", auth_worker_job .. ":lock") or "", "reason", ARGV[4])
  redis.call("PEXPIRE", auth_worker_stream, {ENTRIES_LAST_MS})
  return 2
end
local auth_worker_scheduler = redis.call("HGET", auth_worker_job, "rjk")
local auth_worker_at = auth_worker_scheduler and redis.call("ZSCORE", auth_worker_repeat, auth_worker_scheduler)
if auth_worker_at and auth_worker_id == "repeat:" .. auth_worker_scheduler .. ":" .. auth_worker_at then
  return -8
end
if redis.call("ZREM", KEYS[7], auth_worker_id) + redis.call("ZREM", KEYS[3], auth_worker_id)
  + redis.call("ZREM", auth_worker_parents, auth_worker_id) == 0
  and redis.call("LREM", KEYS[1], 1, auth_worker_id) + redis.call("LREM", KEYS[8], 1, auth_worker_id) == 0 then
  return -1
end
redis.call("LPUSH", KEYS[2], auth_worker_id)
redis.call("SET", auth_worker_job .. ":lock", "{_HOLDER}")
redis.call("HINCRBY", auth_worker_job, "atm", -1)
"""
"""Put before moveToFinished-14, which fails the job as it would an active one: a waiting job is made active first,
and the attempt that the script counts is subtracted, since none was made."""
_UNLESS_ACTIVE = 'if redis.call("LPOS", KEYS[2], ARGV[1]) then return 3 end'
"""Put before ``_TAKE`` to leave a running job alone."""
_FIND = own_script(
    "findCancelled",
    'local found = {} for i, key in ipairs(KEYS) do found[i] = redis.call("HGET", key, "defa") end return found',
)


class Cancellations:
    """Cancels jobs of ``queue``, whichever process runs them, and the children that they wait for."""

    def __init__(self, link: Link, prefix: str, queue: str) -> None:
        self._link = link
        self._prefix = prefix
        self._queue = queue
        self._key_prefix = key_prefix(prefix, queue)
        self._builders: Any = builders(prefix, queue, take_call)

    async def cancel(self, job_id: str, reason: str, *, for_dead_letter: bool = False) -> ChangeResult:
        """Fail a waiting job, or ask the worker of a running one to stop it. Raises ``BrokerError``.

        ``for_dead_letter``: leave a running job alone, and keep the failed one, whatever its options say.

        Afterwards the children that it waits for are cancelled, and theirs. If that is interrupted, another call
        goes on with it, although the job itself has finished by then. Source: moveToFinished-14.lua.
        """
        key = self._key_prefix.encode() + stored_bytes(job_id)
        (opts, failure), children = await asyncio.gather(
            self._link.execute("HMGET", key, "opts", "failedReason"),
            self._link.execute("SMEMBERS", key + b":dependencies"),
        )
        if opts is None:
            return ChangeResult.NO_JOB
        text = str(JobCancelledError(reason))
        keys, args = self._arguments(key, stored_bytes(job_id), opts, text, keep=for_dead_letter)
        prelude = _UNLESS_ACTIVE + _TAKE if for_dead_letter else _TAKE
        code = await self._link.call(prefixed_script("moveToFinished", prelude), keys, args)
        result = _RESULTS.get(int(code), ChangeResult.REFUSED)
        if children and (
            result in (ChangeResult.DONE, ChangeResult.REQUESTED)
            or class_of_failure((failure or b"").decode(errors="replace")) is ReasonClass.CANCELLED
        ):
            await self._cancel_children(list(children), reason)
        return result

    async def _cancel_children(self, children: Sequence[bytes], reason: str) -> None:
        for first in range(0, len(children), MOST_AT_ONCE):
            keys = [exact_text(key) for key in children[first : first + MOST_AT_ONCE]]
            places = filter(None, (place_of(key, self._prefix) for key in keys))
            await asyncio.gather(*(self._beside(queue).cancel(child, reason) for queue, child in places))

    def _beside(self, queue: str) -> Cancellations:
        return self if queue == self._queue else Cancellations(self._link, self._prefix, queue)

    async def find_requested(self, ids: Sequence[str]) -> dict[str, str]:
        """Return the reasons, by id, of the running jobs that somebody wants cancelled."""
        keys = [self._key_prefix.encode() + stored_bytes(job_id) for job_id in ids]
        marks = await self._link.call(_FIND, keys, [])
        texts = {job_id: mark.decode(errors="replace") for job_id, mark in zip(ids, marks, strict=True) if mark}
        return {
            job_id: given_reason(text)
            for job_id, text in texts.items()
            if class_of_failure(text) is ReasonClass.CANCELLED
        }

    def _arguments(
        self, key: bytes, job_id: bytes, opts: bytes, text: str, *, keep: bool
    ) -> tuple[list[Any], list[Any]]:
        """Build the arguments.

        Failed jobs are retained as their worker says, unless the job itself says how many.
        """
        given = read_options(opts)
        if keep:
            given.pop("removeOnFail", None)
        policy = JobPolicy(given, WorkerConfig(remove_on_fail=Retention()))
        keys, args = finish_args(self._builders, {}, policy, _HOLDER, "failed", fetch=False)
        own = [self._key_prefix + name for name in ("completed", "waiting-children", "repeat", "cancellations")]
        keys = [key if each == self._builders.toKey(ID) else each for each in keys]
        values: dict[Any, Any] = {ID: job_id, VALUE: text}
        args = [values.get(each, each) if isinstance(each, str) else each for each in args]
        args[1], args[8] = now_ms(), msgpack.packb(["failedReason", text])
        return [*keys, *own], args


class CancellationListener:
    """Tells the worker of ``queue`` of requests to cancel its jobs. ``link`` is its own, since it blocks."""

    def __init__(self, link: Link, prefix: str, queue: str, on_cancelled: OnCancelled) -> None:
        self._link = link
        self._stream = f"{key_prefix(prefix, queue)}cancellations"
        self._on_cancelled = on_cancelled
        self._last: bytes | str = "0"
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start listening."""
        self._task = asyncio.create_task(self._listen(), name=f"listen to {self._stream}")

    async def stop(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _listen(self) -> None:
        while True:
            await self._link.wait_up()
            try:
                block = round(BLOCK_S * 1000)
                read = await self._link.execute(
                    "XREAD", "COUNT", MOST_ENTRIES, "BLOCK", block, "STREAMS", self._stream, self._last
                )
            except BrokerError:
                await asyncio.sleep(PAUSE_S)
                continue
            for _, entries in read or ():
                for self._last, flat in entries:
                    self._report(pairs_of(flat))

    def _report(self, fields: dict[bytes, bytes]) -> None:
        job_id = exact_text(fields.get(b"id", b""))
        reason = given_reason(fields.get(b"reason", b"").decode(errors="replace"))
        self._on_cancelled(job_id, fields.get(b"token", b"").decode(errors="replace"), reason)
