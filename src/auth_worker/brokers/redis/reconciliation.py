"""Reconciliation: adds the dead letters of jobs that failed elsewhere.

Our own worker moves a job to failed and adds its dead letter in one step. Other workers (Node, older ones) do not,
and if the two queues are in different cluster slots the step has two halves. So the failed set is read, at start
and then regularly, and each job without its dead letter gets one. The dead letter's id follows from the failure,
and the job's hash says which dead letter it has, so that nothing is written twice or comes back after a redrive.
"""

from __future__ import annotations

from typing import Any

from auth_worker.brokers.redis.dead_letters import DeadLetterWriter, DeadLetterWriters
from auth_worker.brokers.redis.decode import (
    DEAD_LETTER_FIELD,
    RawJob,
    attempts_made,
    earlier_traces,
    payload_of,
    read_job,
)
from auth_worker.brokers.redis.scripts.loader import script
from auth_worker.brokers.redis.text_codec import exact_text
from auth_worker.brokers.redis.wire.link import Link
from auth_worker.brokers.redis.wire.resp import pairs_of
from auth_worker.config import WorkerConfig
from auth_worker.core.dead_letter import DeadLetter, dead_letter_id, make_dead_letter
from auth_worker.core.decisions import class_of_failure
from auth_worker.core.keys import key_prefix
from auth_worker.core.outcome import ReasonClass
from auth_worker.core.policy import PolicyCache
from auth_worker.errors import BrokerBusyError, BrokerError, BrokerUnavailableError, InvalidPayloadError

PAGE = 200
OVERLAP_MS = 300_000
"""How far before the newest known failure a later pass starts, since clocks of other workers may be behind."""


class Reconciliation:
    """Compares the failed set of ``queue`` with its dead letters.

    ``worker`` stands for an unknown worker in them.
    """

    def __init__(
        self, link: Link, prefix: str, queue: str, letters: DeadLetterWriters, config: WorkerConfig, worker: str
    ) -> None:
        self._link = link
        self._queue = queue
        self._letters = letters
        self._parse = PolicyCache(config).parse
        self._worker = worker
        self._key_prefix = key_prefix(prefix, queue)
        self._seen_ms = 0.0

    async def elect(self, lease_ms: int) -> bool:
        """Whether this process does the next pass. A lease in Redis elects one."""
        key = f"{self._key_prefix}dead-letter-lease"
        won = await self._link.execute("SET", key, self._worker, "NX", "PX", lease_ms)
        return won is not None

    async def reconcile(self) -> int:
        """Do one pass. Returns how many dead letters were added. Raises ``BrokerError``."""
        failed, added, offset = f"{self._key_prefix}failed", 0, 0
        since, newest = self._seen_ms - OVERLAP_MS, self._seen_ms
        while True:
            page = await self._link.execute(
                "ZRANGEBYSCORE", failed, max(since, 0), "+inf", "WITHSCORES", "LIMIT", offset, PAGE
            )
            for job_id, score in pairs_of(page).items():
                newest = max(newest, float(score))
                try:
                    added += await self.add_missing(job_id)
                except (BrokerUnavailableError, BrokerBusyError):
                    raise
                except (BrokerError, ValueError):
                    pass  # one broken entry must not keep the others from their dead letters
            if len(page) < 2 * PAGE:
                self._seen_ms = newest
                return added
            offset += PAGE

    async def add_missing(self, job_id: bytes) -> int:
        """Add the dead letter of a failed job unless it has one. Returns how many were added.

        Raises ``BrokerError``, and ``ValueError`` for a job whose fields cannot be read.
        """
        key = self._key_prefix.encode() + job_id
        fields = ("finishedOn", DEAD_LETTER_FIELD, "name", "failedReason")
        finished_on, mark, job_name, reason = await self._link.execute("HMGET", key, *fields)
        writer = self._writer(job_name or b"", reason or b"")
        if finished_on is None or writer is None:
            return 0
        name = exact_text(job_id)
        due = dead_letter_id(self._queue, name, int(finished_on))
        if mark == due.encode():
            return 0
        flat = await self._link.execute("HGETALL", key)
        raw: RawJob = pairs_of(flat)
        letter = self._letter(name, raw, int(finished_on))
        keys, args = writer.add_call(letter)
        guarded = script("addStandardJob", "same failure")
        done = await self._link.call(guarded, [*keys, key], [*args, finished_on, due])
        return 0 if done == -6 else 1

    def _writer(self, name: bytes, reason: bytes) -> DeadLetterWriter | None:
        """Return what writes the dead letter of a job of this name that failed for ``reason``, if it gets one."""
        reason_class = class_of_failure(reason.decode(errors="replace"))
        return self._letters.of(name.decode(errors="replace"), reason_class)

    def _letter(self, job_id: str, raw: RawJob, finished_on: int) -> DeadLetter:
        reason = raw.get(b"failedReason", b"").decode(errors="replace")
        common: dict[str, Any] = {
            "queue": self._queue,
            "job_id": job_id,
            "reason": reason,
            "traces": earlier_traces(raw),
            "attempts_made": attempts_made(raw),
            "finished_on": finished_on,
            "worker": raw.get(b"pb", b"").decode(errors="replace") or self._worker,
        }
        try:
            job, options = read_job(raw, job_id, self._queue, self._parse, max_bytes=2**62)
        except InvalidPayloadError:
            name = raw.get(b"name", b"").decode(errors="replace")
            reason_class, payload = ReasonClass.INVALID_PAYLOAD, payload_of(raw)
            return make_dead_letter(
                name=name, data=None, opts={}, reason_class=reason_class, raw=payload, **common
            )
        reason_class = class_of_failure(reason, exhausted=attempts_made(raw) >= options.attempts)
        return make_dead_letter(
            name=job.name, data=job.data, opts=dict(job.opts), reason_class=reason_class, **common
        )
