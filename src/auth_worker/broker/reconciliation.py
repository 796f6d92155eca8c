"""Reconciliation: makes the failed set and the dead-letter queue agree for what failed elsewhere.

Our own worker moves a job to failed and adds its letter in one step. Other workers on the queue (Node, older ones)
do not, and where the two queues lie in different cluster slots the step has two halves. So the failed set is read,
at start and then regularly, and every death without its letter gets one: the letter's id follows from the death,
and the job's hash says which letter it has, so that nothing is written twice or comes back after a redrive.
"""

from __future__ import annotations

from typing import Any

from auth_worker.broker.letters import LetterBox
from auth_worker.broker.link import Link
from auth_worker.broker.scripts import script
from auth_worker.config import WorkerConfig
from auth_worker.dead_letter import MARK, Letter, letter_id, make_letter
from auth_worker.errors import BrokerBusyError, BrokerError, BrokerUnavailableError, InvalidPayloadError
from auth_worker.options import OptionsCache
from auth_worker.outcome import ReasonClass
from auth_worker.payload import RawJob, attempts_made, earlier_traces, read_job

PAGE = 200
OVERLAP_MS = 300_000
"""How far before the newest death seen a later pass begins: clocks of other workers may be behind."""
STALLED_REASON = "job stalled more than allowable limit"
"""What moveStalledJobsToWait-9.lua writes."""


class Reconciliation:
    """The failed set of ``queue`` against its letter box. ``worker`` signs letters where no worker is known."""

    def __init__(
        self, link: Link, prefix: str, queue: str, letters: LetterBox, config: WorkerConfig, worker: str
    ) -> None:
        self._link = link
        self._queue = queue
        self._letters = letters
        self._parse = OptionsCache(config).parse
        self._worker = worker
        self._key_prefix = f"{prefix}:{queue}:"
        self._seen_ms = 0.0
        self.unreadable = 0
        """How many entries of the failed set could not be read so far."""

    async def elect(self, lease_ms: int) -> bool:
        """Whether this process does the next pass: one of all does, by a lease in Redis."""
        key = f"{self._key_prefix}dead-letter-lease"
        won = await self._link.execute("SET", key, self._worker, "NX", "PX", lease_ms)
        return won is not None

    async def reconcile(self) -> int:
        """One pass; returns how many letters were added. Raises ``BrokerError``."""
        failed, added, offset = f"{self._key_prefix}failed", 0, 0
        since, newest = self._seen_ms - OVERLAP_MS, self._seen_ms
        while True:
            page = await self._link.execute(
                "ZRANGEBYSCORE", failed, max(since, 0), "+inf", "WITHSCORES", "LIMIT", offset, PAGE
            )
            for job_id, score in zip(page[::2], page[1::2], strict=True):
                try:
                    added += await self._add_missing(job_id)
                except (BrokerError, ValueError) as error:
                    if isinstance(error, BrokerUnavailableError | BrokerBusyError):
                        raise
                    self.unreadable += 1  # one broken entry must not keep the others from their letters
                newest = max(newest, float(score))
            if len(page) < 2 * PAGE:
                self._seen_ms = newest
                return added
            offset += PAGE

    async def _add_missing(self, job_id: bytes) -> int:
        key = self._key_prefix.encode() + job_id
        finished_on, mark = await self._link.execute("HMGET", key, "finishedOn", MARK)
        if finished_on is None:
            return 0
        name = job_id.decode("utf-8", "surrogateescape")
        due = letter_id(self._queue, name, int(finished_on))
        if mark == due.encode():
            return 0
        flat = await self._link.execute("HGETALL", key)
        raw: RawJob = dict(zip(flat[::2], flat[1::2], strict=True))
        letter = self._letter(name, raw, int(finished_on))
        keys, args = self._letters.add_call(letter)
        guarded = script("addStandardJob", "death")
        done = await self._link.call(guarded, [*keys, key], [*args, finished_on, due])
        return 0 if done == -6 else 1

    def _letter(self, job_id: str, raw: RawJob, finished_on: int) -> Letter:
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
            return make_letter(
                name=name, data=None, opts={}, reason_class=ReasonClass.INVALID_PAYLOAD, raw=raw, **common
            )
        exhausted = attempts_made(raw) >= options.attempts
        reason_class = ReasonClass.EXHAUSTED if exhausted else ReasonClass.UNRECOVERABLE
        if reason == STALLED_REASON:
            reason_class = ReasonClass.STALLED
        return make_letter(name=job.name, data=job.data, opts=dict(job.opts), reason_class=reason_class, **common)
