"""What one queue's worker asks of Redis: fetch a job, settle a run, renew leases, and find what was lost.

``fetch`` and ``settle`` are the path of every job: they write a command and return; the reply comes to a
callback. The rest is rare and awaits its reply.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Protocol

import msgpack

from auth_worker.broker.batches import MOST_BATCHED
from auth_worker.broker.calls import Call
from auth_worker.broker.frames import FinishOptions, WorkerFrames, frame_scripts
from auth_worker.broker.job_view import JobView
from auth_worker.broker.letters import ADD_LETTER, LetterBox
from auth_worker.broker.link import Link
from auth_worker.broker.replies import Fetched, Nothing, Settled, fetched, read_fetched, read_last, read_settled
from auth_worker.broker.scripts import Script, own_script, whole_call
from auth_worker.broker.wire import pack
from auth_worker.config import WorkerConfig
from auth_worker.dead_letter import MARK, Letter
from auth_worker.errors import BrokerError
from auth_worker.job import Job
from auth_worker.options import JobOptions
from auth_worker.outcome import (
    AwaitChildren,
    Complete,
    Drop,
    Fail,
    HandBack,
    Outcome,
    Postpone,
    Retry,
    Throttle,
    encode_json,
)
from auth_worker.payload import RawJob, unsound_fields

DROP_FIELDS = own_script("dropFields", 'return redis.call("HDEL", KEYS[1], unpack(ARGV))', "lock")
MOST_PACKED = 4096
RATE_LIMIT_FOREVER = 2**53 - 1
"""The limiter's value that stops the whole queue until the key expires (Node: Number.MAX_SAFE_INTEGER)."""


class Settling(Protocol):
    """What a settle needs of a run."""

    job: Job
    options: JobOptions
    token: str
    raw: RawJob

    @property
    def traces(self) -> list[str]:
        """The stack traces of earlier attempts."""


OnSettled = Callable[[Settled | BrokerError], None]
OnFetched = Callable[[Fetched | Nothing | BrokerError], None]


def worker_scripts() -> list[Script]:
    """The scripts a worker's connection must have loaded before its first job."""
    return [*frame_scripts(), ADD_LETTER]


class Store:
    """One queue, as its worker sees it. ``name`` is written into each job as ``processedBy``."""

    def __init__(
        self,
        link: Link,
        *,
        prefix: str,
        queue: str,
        config: WorkerConfig,
        name: str,
        letters: LetterBox | None = None,
    ) -> None:
        self.link = link
        self.letters = letters
        self.key_prefix = f"{prefix}:{queue}:"
        self._key_prefix = self.key_prefix.encode()
        self._frames = WorkerFrames(prefix, queue, config, name)
        self._view = JobView(link, prefix, queue)
        self._fetch_options: dict[str, bytes] = {}
        self._lock_duration = config.lock_duration

    def fetch(self, token: str, on_fetched: OnFetched) -> None:
        """Take the next job for ``token``. Source: moveToActive-11.lua."""
        options = self._options_of_fetch(token)
        self.link.send(
            self._frames.fetch.fill(b"%d" % _now(), options), lambda reply: on_fetched(read_fetched(reply))
        )

    def settle(
        self,
        run: Settling,
        outcome: Outcome,
        now: int,
        letter: Letter | None,
        fetch_next: bool,
        on_settled: OnSettled,
    ) -> None:
        """Write ``outcome`` at ``now`` (epoch ms), fetching the next job with it where the script can."""
        if type(outcome) is Complete:
            call = self._completion(run, outcome, now, fetch_next)
            self.link.send_call(call, lambda reply: on_settled(read_settled(reply)))
            return
        command = self._command(run, outcome, now, letter, fetch_next)
        if isinstance(outcome, Fail) and (unsound := unsound_fields(run.raw)):
            self._drop_fields(run, unsound)
        if letter is not None and self.letters is not None:
            guard = (self._key_prefix + _bytes(run.job.id) + b":lock", run.token)
            add = self.letters.add_command(letter, guard)
            self.link.send_transaction([add, command], lambda reply: on_settled(read_last(reply)))
        elif isinstance(outcome, Throttle):
            limit = pack("SET", f"{self.key_prefix}limiter", RATE_LIMIT_FOREVER, "PX", outcome.duration_ms)
            self.link.send_transaction([limit, command], lambda reply: on_settled(read_last(reply)))
        else:
            self.link.send(command, lambda reply: on_settled(read_settled(reply)))

    def hand_back(self, job_id: str, token: str, on_settled: OnSettled) -> None:
        """Put a fetched job back to the front of wait."""
        self.link.send(self.hand_back_command(job_id, token), lambda reply: on_settled(read_settled(reply)))

    def hand_back_command(self, job_id: str, token: str) -> bytes:
        """What ``hand_back`` sends. Source: moveJobFromActiveToWait-9.lua."""
        key = _bytes(job_id)
        return self._frames.hand_back.fill(key, token.encode(), self._key_prefix + key)

    async def fetched_by(self, tokens: Iterable[str]) -> list[tuple[str, Fetched]]:
        """The active jobs locked with one of ``tokens``, their reply lost on the way to us; renews their locks."""
        wanted = {token.encode(): token for token in tokens}
        ids: list[bytes] = await self.link.execute("LRANGE", f"{self.key_prefix}active", 0, -1)
        if not ids or not wanted:
            return []
        locks = await self.link.execute("MGET", *(self._key_prefix + job_id + b":lock" for job_id in ids))
        found = []
        for job_id, lock in zip(ids, locks, strict=True):
            key = self._key_prefix + job_id
            if lock in wanted and await self.link.execute("PEXPIRE", key + b":lock", self._lock_duration):
                flat = await self.link.execute("HGETALL", key)
                found.append((wanted[lock], fetched(job_id, flat)))
        return found

    async def was_settled(self, run: Settling, outcome: Outcome, now: int) -> bool:
        """Whether an earlier settle at ``now``, whose reply was lost, was carried out after all."""
        key = self._key_prefix + _bytes(run.job.id)
        finished_on, made = await self.link.execute("HMGET", key, "finishedOn", "atm")
        match outcome:
            case Complete() | Fail():
                if finished_on is not None or made is not None:
                    return bool(finished_on == b"%d" % now)
                keep = run.options.keep_complete if isinstance(outcome, Complete) else run.options.keep_fail
                return keep.get("count") == 0 and not await self.link.execute("EXISTS", key)
            case Retry():
                return int(made or 0) >= run.job.attempt
            case Postpone():
                return await self._view.state(run.job.id) == "delayed"
            case AwaitChildren():
                return await self._view.state(run.job.id) == "waiting-children"
            case HandBack() | Throttle():
                return await self._view.state(run.job.id) in ("wait", "prioritized")
        return False

    def forget(self, token: str) -> None:
        """Drop what is kept for a token that will not be used again."""
        self._fetch_options.pop(token, None)

    def _drop_fields(self, run: Settling, fields: list[bytes]) -> None:
        key = self._key_prefix + _bytes(run.job.id)
        call = (DROP_FIELDS, [key, key + b":lock"], [*fields, run.token])
        self.link.send(whole_call(call), lambda reply: None)

    def _options_of_fetch(self, token: str) -> bytes:
        options = self._fetch_options.get(token)
        if options is None:
            options = self._fetch_options[token] = self._frames.fetch_options(token)
        return options

    def _command(
        self, run: Settling, outcome: Outcome, now: int, letter: Letter | None, fetch_next: bool
    ) -> bytes:
        job_id, token, stamp = _bytes(run.job.id), run.token, b"%d" % now
        key = self._key_prefix + job_id
        frames = self._frames
        match outcome:
            case Fail(reason, _, trace):
                options = self._options_of_finish(run, "failed")
                fields = _failure_fields(run, reason, trace, letter)
                values = (job_id, stamp, _bytes(reason), options.packed, fields)
                if letter is not None and self.letters is not None:
                    return frames.bury[fetch_next].fill(key, self.letters.key(letter), *values)
                return frames.fail[fetch_next].fill(key, *values)
            case Retry(0, reason, trace):
                push = b"RPUSH" if run.options.lifo else b"LPUSH"
                fields = _failure_fields(run, reason, trace)
                return frames.retry.fill(key, stamp, push, job_id, token.encode(), fields)
            case Retry(delay, reason, trace):
                fields = _failure_fields(run, reason, trace)
                return self._delay(key, job_id, stamp, token, delay, fields, fetch_next, skip=False)
            case Postpone(delay):
                return self._delay(key, job_id, stamp, token, delay, b"", fetch_next, skip=True)
            case AwaitChildren():
                waiting = (key, key + b":dependencies", key + b":unsuccessful")
                return frames.await_children.fill(*waiting, token.encode(), stamp, job_id)
            case HandBack() | Throttle():
                return frames.hand_back.fill(job_id, token.encode(), key)
            case Drop(reason):
                options = frames.finish_options(_REMOVE, token, "failed")
                fields = _failure_fields(run, reason, reason)
                return frames.fail[fetch_next].fill(key, job_id, stamp, _bytes(reason), options.packed, fields)
        raise AssertionError(f"nothing is written for {outcome!r}")

    def _completion(self, run: Settling, outcome: Complete, now: int, fetch_next: bool) -> Call:
        """What completes a job, in a batch with those beside it unless it is large."""
        job_id, frame = _bytes(run.job.id), self._frames.complete[fetch_next]
        options = self._options_of_finish(run, "completed")
        content = frame, (self._key_prefix + job_id, job_id, b"%d" % now, outcome.value, options)
        return (frame.batch, content) if _is_small(run, outcome) else (None, frame.batch.alone(content))

    def _delay(
        self,
        key: bytes,
        job_id: bytes,
        stamp: bytes,
        token: str,
        delay: int,
        fields: bytes,
        fetch_next: bool,
        *,
        skip: bool,
    ) -> bytes:
        values = [key, stamp, job_id, token.encode(), b"%d" % delay, fields]
        if fetch_next:
            values.append(self._options_of_fetch(token))
        return self._frames.delay[skip, fetch_next].fill(*values)

    def _options_of_finish(self, run: Settling, target: str) -> FinishOptions:
        wire = run.options.wire
        options: FinishOptions | None = wire.get((target, run.token))
        if options is None:
            if len(wire) >= MOST_PACKED:  # of tokens that are spent, since errors use them up
                wire.clear()
            options = wire[target, run.token] = self._frames.finish_options(run.options, run.token, target)
        return options


_REMOVE = JobOptions({"removeOnFail": True, "attempts": 1}, WorkerConfig())


def _is_small(run: Settling, outcome: Complete) -> bool:
    """Whether result and data are: the reply holds the next job, whose data is likely as large as this one's."""
    return len(outcome.value) <= MOST_BATCHED and len(run.raw.get(b"data", b"")) <= MOST_BATCHED


def _now() -> int:
    return round(time.time() * 1000)


def _bytes(text: str) -> bytes:
    """Text as Redis keeps it; bytes that were not UTF-8 come back as they were, lone surrogates are escaped."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        pass
    try:
        return text.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return text.encode(errors="backslashreplace")


def _failure_fields(run: Settling, reason: str, trace: str, letter: Letter | None = None) -> bytes:
    """The fields BullMQ updates with a failure, the reason and the stack traces, and the mark of the letter."""
    limit = run.options.stack_trace_limit
    traces = [*run.traces, trace]
    if limit is not None:
        traces = traces[-limit:] if limit else []
    fields = ["failedReason", _bytes(reason), "stacktrace", encode_json(traces)]
    if letter is not None:
        fields += [MARK, letter.id]
    return bytes(msgpack.packb(fields, use_bin_type=False))  # Redis's cmsgpack knows no bin type
