"""The commands that write an outcome, in Redis's wire format."""

from __future__ import annotations

import msgpack

from auth_worker.brokers.redis.dead_letters import DeadLetterWriters
from auth_worker.brokers.redis.decode import DEAD_LETTER_FIELD, earlier_traces
from auth_worker.brokers.redis.scripts.batches import MOST_BATCHED
from auth_worker.brokers.redis.scripts.frames import FinishOptions, WorkerFrames
from auth_worker.brokers.redis.text_codec import stored_bytes
from auth_worker.brokers.redis.wire.call_types import Call
from auth_worker.config import WorkerConfig
from auth_worker.core.dead_letter import DeadLetter
from auth_worker.core.json_codec import encode_json
from auth_worker.core.keys import key_prefix
from auth_worker.core.outcome import (
    AwaitChildren,
    Complete,
    Drop,
    Fail,
    HandBack,
    Outcome,
    Postpone,
    Retry,
    Throttle,
)
from auth_worker.core.policy import JobPolicy
from auth_worker.core.run import Run

MOST_PACKED = 4096
_REMOVE = JobPolicy({"removeOnFail": True, "attempts": 1}, WorkerConfig())


class OutcomeCommands:
    """Builds the commands of the worker ``name`` of one queue; ``letters`` write its dead letters."""

    def __init__(
        self, prefix: str, queue: str, config: WorkerConfig, name: str, letters: DeadLetterWriters
    ) -> None:
        self._key_prefix = key_prefix(prefix, queue).encode()
        self._frames = WorkerFrames(prefix, queue, config, name)
        self._letters = letters
        self._fetch_options: dict[str, bytes] = {}

    def fetching(self, token: str, now: int) -> bytes:
        """Return the command that takes the next job at ``now`` (epoch ms). Source: moveToActive-11.lua."""
        return self._frames.fetch.fill(b"%d" % now, self.fetch_options(token))

    def handing_back(self, job_id: str, token: str, *, begun: bool) -> bytes:
        """Return the command that puts a job back to the front of wait. Source: moveJobFromActiveToWait-9.lua.

        If it has not ``begun``, its attempt does not count as started.
        """
        key = stored_bytes(job_id)
        return self._frames.hand_back[begun].fill(key, token.encode(), self._key_prefix + key)

    def fetch_options(self, token: str) -> bytes:
        """Return the options of a fetch for ``token``, which are built once."""
        options = self._fetch_options.get(token)
        if options is None:
            options = self._fetch_options[token] = self._frames.fetch_options(token)
        return options

    def forget(self, token: str) -> None:
        """Forget the options of a token that will not be used again."""
        self._fetch_options.pop(token, None)

    def of(self, run: Run, outcome: Outcome, now: int, letter: DeadLetter | None, fetch_next: bool) -> bytes:
        """Return the command that writes any ``outcome`` but Complete."""
        job_id, token, stamp = stored_bytes(run.job.id), run.token, b"%d" % now
        key = self._key_prefix + job_id
        frames = self._frames
        match outcome:
            case Fail(reason, _, trace):
                options = self._options_of_finish(run, "failed")
                fields = _failure_fields(run, reason, trace, letter)
                values = (job_id, stamp, stored_bytes(reason), options.packed, fields)
                if letter is not None:
                    letter_key = self._letters.writer_of(letter).key(letter)
                    return frames.fail_with_letter[fetch_next].fill(key, letter_key, *values)
                return frames.fail[fetch_next].fill(key, *values)
            case Retry(0, reason, trace):
                push = b"RPUSH" if run.policy.lifo else b"LPUSH"
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
            case HandBack(begun):
                return self.handing_back(run.job.id, token, begun=begun)
            case Throttle():
                return self.handing_back(run.job.id, token, begun=True)
            case Drop(reason):
                options = frames.finish_options(_REMOVE, token, "failed")
                fields = _failure_fields(run, reason, reason)
                return frames.fail[fetch_next].fill(
                    key, job_id, stamp, stored_bytes(reason), options.packed, fields
                )
        raise AssertionError(f"nothing is written for {outcome!r}")

    def completing(self, run: Run, outcome: Complete, now: int, fetch_next: bool) -> Call:
        """Return the call that completes a job, batched with others unless it is large."""
        job_id, frame = stored_bytes(run.job.id), self._frames.complete[fetch_next]
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
            values.append(self.fetch_options(token))
        return self._frames.delay[skip, fetch_next].fill(*values)

    def _options_of_finish(self, run: Run, target: str) -> FinishOptions:
        wire = run.policy.wire
        options: FinishOptions | None = wire.get((target, run.token))
        if options is None:
            if len(wire) >= MOST_PACKED:  # of tokens that are spent, since errors use them up
                wire.clear()
            options = wire[target, run.token] = self._frames.finish_options(run.policy, run.token, target)
        return options


def _is_small(run: Run, outcome: Complete) -> bool:
    """Whether result and data are small. The reply holds the next job, whose data is probably of the same size."""
    return len(outcome.value) <= MOST_BATCHED and len(run.stored.get(b"data", b"")) <= MOST_BATCHED


def _failure_fields(run: Run, reason: str, trace: str, letter: DeadLetter | None = None) -> bytes:
    """Return the fields that BullMQ updates with a failure: reason, stack traces, the dead letter's mark."""
    limit = run.policy.stack_trace_limit
    traces = [*earlier_traces(run.stored), trace]
    if limit is not None:
        traces = traces[-limit:] if limit else []
    fields = ["failedReason", stored_bytes(reason), "stacktrace", encode_json(traces)]
    if letter is not None:
        fields += [DEAD_LETTER_FIELD, letter.id]
    return bytes(msgpack.packb(fields, use_bin_type=False))  # Redis's cmsgpack knows no bin type
