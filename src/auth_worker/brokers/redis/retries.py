"""The call that lets a finished job run again, for a retry of the job and for a redrive of its dead letter."""

from __future__ import annotations

from types import SimpleNamespace

from auth_worker.brokers.redis.decode import DEAD_LETTER_FIELD
from auth_worker.brokers.redis.scripts.loader import CallCapture, ScriptCall, prefixed_script

_FRESH_ATTEMPTS = {"resetAttemptsMade": True, "resetAttemptsStarted": True}
_FRESH = f"""
if redis.call("ZSCORE", KEYS[3], ARGV[1]) then
  redis.call("HDEL", KEYS[1], "stc", "defa", "{DEAD_LETTER_FIELD}")
end
"""
"""Put before reprocessJob: the job loses what would end it at once, its count of stalls and its deferred failure,
and the mark of its dead letter."""


def retry_call(prefix: str, queue: str, job_id: str, state: str, *, lifo: bool) -> ScriptCall:
    """Build the call that puts a job of ``state`` (completed or failed) back to wait with fresh attempts.

    ``lifo``: to the front of the queue. Source: reprocessJob-9.lua.
    """
    capture = CallCapture(prefix, queue)
    job = SimpleNamespace(id=job_id, opts={"lifo": lifo})
    _, keys, args = capture.call(capture.builders.reprocessJob(job, state, _FRESH_ATTEMPTS))
    return prefixed_script("reprocessJob", _FRESH), keys, args
