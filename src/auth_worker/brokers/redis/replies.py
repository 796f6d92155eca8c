"""Reads the replies of a worker's scripts into the values of ``core.ports.worker``, with jobs decoded."""

from __future__ import annotations

from typing import Any

from auth_worker.brokers.redis.decode import (
    RawJob,
    deferred_failure_of,
    is_orphan,
    read_job,
    scheduler_of,
    unreadable_job,
    waited_ms,
)
from auth_worker.brokers.redis.text_codec import exact_text
from auth_worker.brokers.redis.wire.resp import error_of, is_error
from auth_worker.config import WorkerConfig
from auth_worker.core.outcome import AwaitChildren, Outcome, Refusal
from auth_worker.core.policy import JobPolicy, PolicyCache
from auth_worker.core.ports.worker import Fetched, Nothing, Settled, Taken, Unreadable
from auth_worker.errors import BrokerError, InvalidPayloadError
from auth_worker.job import JobActions

REFUSALS = {-4: Refusal.CHILDREN_PENDING, -9: Refusal.CHILDREN_FAILED}
"""BullMQ's error codes. Any other one below 0 means that the job is not ours. Source: finished-errors.ts."""
NO_CHILDREN_LEFT = 1
"""What moveToWaitingChildren-7.lua returns if there is nothing to wait for."""
_NOTHING = Nothing(0, 0)
_DONE = Settled(None, _NOTHING)


class ReplyReader:
    """Reads replies about the jobs of one queue. ``max_bytes`` bounds a job's name, data and opts, each."""

    def __init__(self, queue: str, config: WorkerConfig, *, max_bytes: int, actions: JobActions | None) -> None:
        self._queue = queue
        self._config = config
        self._parse = PolicyCache(config).parse
        self._max_bytes = max_bytes
        self._actions = actions

    def fetched(self, reply: Any, token: str) -> Taken | Nothing | BrokerError:
        """Read the reply of moveToActive-11.lua for ``token``: [job, id, limited ms, next delayed]."""
        if isinstance(reply, list):
            return self._next(reply, token)
        return reply if isinstance(reply, BrokerError) else _NOTHING

    def settled(self, reply: Any, token: str) -> Settled | BrokerError:
        """Read the reply of a script that ends a run: a code, or the next job as in ``fetched``."""
        if isinstance(reply, list):
            return Settled(None, self._next(reply, token))
        if isinstance(reply, BrokerError):
            return reply
        code = int(reply or 0)
        if not code:
            return _DONE
        return Settled(REFUSALS.get(code, Refusal.NOT_OURS) if code < 0 else None, None)

    def settled_last(self, replies: Any, token: str) -> Settled | BrokerError:
        """Read the last reply of a transaction. An error of any of them is the error of all."""
        if isinstance(replies, BrokerError):
            return replies
        for reply in replies or ():
            if is_error(reply):
                return error_of(reply)
        return self.settled(replies[-1], token)

    def taken(self, job_id: bytes, flat: list[bytes], token: str) -> Taken:
        """Make a job of its id and the flat reply of HGETALL, locked with ``token``."""
        pairs = iter(flat)
        raw: RawJob = dict(zip(pairs, pairs, strict=True))
        name = exact_text(job_id)
        try:
            job, policy = read_job(
                raw, name, self._queue, self._parse, max_bytes=self._max_bytes, token=token, actions=self._actions
            )
        except InvalidPayloadError as error:
            return self._unreadable(name, raw, str(error))
        scheduler_id = scheduler_of(raw) if b"rjk" in raw else ""
        deferred_failure = deferred_failure_of(raw) if b"defa" in raw else None
        return Fetched(job, policy, raw, waited_ms(raw, job), scheduler_id, deferred_failure)

    def _next(self, reply: list[Any], token: str) -> Taken | Nothing:
        if len(reply) != 4:
            return _NOTHING
        if reply[0]:
            return self.taken(reply[1], reply[0], token)
        return Nothing(max(int(reply[2]), 0), float(reply[3] or 0))

    def _unreadable(self, job_id: str, raw: RawJob, reason: str) -> Unreadable:
        job = unreadable_job(raw, job_id, self._queue)
        policy = JobPolicy({}, self._config)
        return Unreadable(job, policy, raw, waited_ms(raw, job), scheduler_of(raw), reason, is_orphan(raw))


def refused_children(settled: Settled | BrokerError, reply: Any, outcome: Outcome) -> Settled | BrokerError:
    """Read as ``settled``, or that there are no children to wait for."""
    if isinstance(outcome, AwaitChildren) and reply == NO_CHILDREN_LEFT:
        return Settled(Refusal.NO_CHILDREN_LEFT, None)
    return settled
