"""The calls that a queue's worker makes for every job, built once by the official builders and kept as frames.

Each function names the script and the argument positions that it depends on. They are checked when the frame is
built, so that a new version of the scripts fails at start and not during a job.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

from auth_worker.brokers.redis.scripts.batches import Batch, BatchFrame
from auth_worker.brokers.redis.scripts.loader import HAND_BACK, CallCapture, Frame, Script, packed_options, script
from auth_worker.config import WorkerConfig
from auth_worker.core.policy import JobPolicy

KEY, ID, NOW, TOKEN, VALUE, OPTIONS, FIELDS, DELAY, PUSH, LETTER = (
    f"\0{mark}\0"
    for mark in ("key", "id", "now", "token", "value", "options", "fields", "delay", "push", "letter")
)

FETCH = script("moveToActive", "rate limit")
FINISH = script("moveToFinished", "rate limit after finish")
FAIL_WITH_LETTER = script("moveToFinished", "dead letter", "rate limit after finish")
POSTPONE = script("moveToDelayed", "rate limit after delay")
RETRY = script("retryJob")
RETURN = {True: script(HAND_BACK), False: script(HAND_BACK, "not begun")}
AWAIT = script("moveToWaitingChildren")
WORKER_SCRIPTS = (FETCH, FINISH, FAIL_WITH_LETTER, POSTPONE, RETRY, *RETURN.values(), AWAIT)


def frame_scripts() -> list[Script]:
    """Return the scripts that frames call. They are the same for every queue."""
    completion = WorkerFrames("", "", WorkerConfig(), "").complete[True]
    return [*WORKER_SCRIPTS, completion.batch.script]


class FinishOptions(NamedTuple):
    """ARGV[8] of moveToFinished-14 for jobs with the same options, for one token.

    ``kept`` is how many such jobs to keep if only their number is limited, else 0. ``lasting`` is ``packed``
    without it, so that no old job is removed.
    """

    packed: bytes
    lasting: bytes
    kept: int


Completion = tuple[bytes, bytes, bytes, bytes, FinishOptions]
"""What completes a job: its key, id, time (epoch ms) and value, and its options."""


class Completions(Batch):
    """Batches completions so that only the last job of each frame and ``kept`` removes old jobs, for all of them.

    That keeps the jobs which one removal per job would have kept, since nobody sees the set in between. If the
    last call is refused (its lease is lost) or fails, the next job that is completed with a count removes them.
    """

    def alone(self, call: tuple[BatchFrame, Completion]) -> bytes:
        """Return the script's own call, which removes old jobs."""
        frame, (*values, options) = call
        return frame.fill(*values, options.packed)

    def values_of(
        self, calls: Sequence[tuple[BatchFrame, Completion]]
    ) -> list[tuple[BatchFrame, Sequence[bytes]]]:
        """Return each call with the options that remove old jobs or keep them."""
        chosen: list[tuple[BatchFrame, Sequence[bytes]]] = []
        trimmed: set[tuple[BatchFrame, int]] = set()
        for frame, (*values, options) in reversed(calls):
            group = (frame, options.kept)
            packed = options.lasting if group in trimmed else options.packed
            chosen.append((frame, (*values, packed)))
            if options.kept:
                trimmed.add(group)
        return chosen[::-1]


def finish_args(
    builders: Any, worker_options: Mapping[str, Any], policy: JobPolicy, token: str, target: str, *, fetch: bool
) -> tuple[list[Any], list[Any]]:
    """Return keys and arguments of moveToFinished-14, with markers for the job's id and the value."""
    keep = dict(policy.keep_complete if target == "completed" else policy.keep_fail)
    job = SimpleNamespace(
        id=ID,
        queue=SimpleNamespace(opts=worker_options),
        attempts=policy.attempts,
        attemptsMade=0,
        opts={
            "failParentOnFailure": policy.fail_parent,
            "continueParentOnFailure": policy.continue_parent,
            "ignoreDependencyOnFailure": policy.ignore_dependency,
            "removeDependencyOnFailure": policy.remove_dependency,
        },
    )
    is_completed = target == "completed"
    prop, fields = ("returnvalue", None) if is_completed else ("failedReason", {"failedReason": ""})
    keys, args = builders.moveToFinishedArgs(job, VALUE, prop, keep, target, token, fetch, fields)
    return keys, args


class WorkerFrames:
    """The calls of the worker ``name`` of one queue: fetch, complete, fail, retry, delay and hand back."""

    def __init__(self, prefix: str, queue: str, config: WorkerConfig, name: str) -> None:
        self._name = name
        self._limiter = config.limiter.model_dump() if config.limiter else None
        self._capture = CallCapture(prefix, queue)
        self.builders = self._capture.builders
        self._worker_options = {
            "lockDuration": config.lock_duration,
            "limiter": self._limiter,
            "metrics": {"maxDataPoints": config.metrics.max_data_points} if config.metrics else None,
        }
        self._lock_duration = config.lock_duration
        self.fetch = self._fetch()
        self.complete = {fetch: self._complete(fetch) for fetch in (True, False)}
        self.fail = {fetch: self._fail(fetch) for fetch in (True, False)}
        self.fail_with_letter = {fetch: self._fail_with_letter(fetch) for fetch in (True, False)}
        self.delay = {(skip, fetch): self._delay(skip, fetch) for skip in (True, False) for fetch in (True, False)}
        self.retry = self._retry()
        self.hand_back = {begun: self._hand_back(begun) for begun in (True, False)}
        self.await_children = self._await_children()

    def fetch_options(self, token: str) -> bytes:
        """Return ARGV[3] of moveToActive-11, with the worker's name, which the official builder leaves out."""
        options = {"lockDuration": self._lock_duration, "limiter": self._limiter}
        _, _, args = self._capture.call(self.builders.moveToActive(token, options))
        return packed_options(args[2], name=self._name)

    def finish_options(self, policy: JobPolicy, token: str, target: str) -> FinishOptions:
        """Return what the script needs to know of jobs with these options."""
        _, args = self._finish_args(policy, token, target, fetch=True)
        packed = packed_options(args[7], name=self._name)
        keep = policy.keep_complete if target == "completed" else policy.keep_fail
        kept = keep["count"] if keep.keys() == {"count"} else 0
        return FinishOptions(packed, packed_options(packed, keepJobs={}), max(kept, 0))

    def _finish_args(
        self, policy: JobPolicy, token: str, target: str, *, fetch: bool
    ) -> tuple[list[Any], list[Any]]:
        return finish_args(self.builders, self._worker_options, policy, token, target, fetch=fetch)

    def _complete(self, fetch: bool) -> BatchFrame:
        keys, args = self._finish("completed", fetch)
        return BatchFrame(FINISH, keys, args, [KEY, ID, NOW, VALUE, OPTIONS], Completions)

    def _fail(self, fetch: bool) -> Frame:
        keys, args = self._finish("failed", fetch)
        args[8] = FIELDS
        return Frame(FINISH, keys, args, [KEY, ID, NOW, VALUE, OPTIONS, FIELDS])

    def _fail_with_letter(self, fetch: bool) -> Frame:
        keys, args = self._finish("failed", fetch)
        args[8] = FIELDS
        return Frame(FAIL_WITH_LETTER, [*keys, LETTER], args, [KEY, LETTER, ID, NOW, VALUE, OPTIONS, FIELDS])

    def _finish(self, target: str, fetch: bool) -> tuple[list[Any], list[Any]]:
        keys, args = self._finish_args(JobPolicy({}, WorkerConfig()), TOKEN, target, fetch=fetch)
        args[1], args[3], args[7] = NOW, VALUE, OPTIONS
        return [KEY if key == self.builders.toKey(ID) else key for key in keys], args

    def _fetch(self) -> Frame:
        options = {"lockDuration": self._lock_duration}
        _, keys, args = self._capture.call(self.builders.moveToActive(TOKEN, options))
        args[1], args[2] = NOW, OPTIONS
        return Frame(FETCH, keys, args, [NOW, OPTIONS])

    def _delay(self, skip_attempt: bool, fetch: bool) -> Frame:
        options = {
            "skipAttempt": skip_attempt,
            "fieldsToUpdate": {"mark": FIELDS},
            "fetchNext": fetch,
            "workerOpts": {"lockDuration": self._lock_duration},
        }
        keys, args = self.builders.moveToDelayedArgs(ID, 0, TOKEN, 0, options)
        keys = [KEY if key == self.builders.toKey(ID) else key for key in keys]
        args[1], args[4], args[6] = NOW, DELAY, FIELDS
        gaps = [KEY, NOW, ID, TOKEN, DELAY, FIELDS]
        if fetch:
            args[8] = OPTIONS
            gaps.append(OPTIONS)
        return Frame(POSTPONE, keys, args, gaps)

    def _retry(self) -> Frame:
        keys, args = self.builders.retryJobArgs(ID, False, TOKEN, {"fieldsToUpdate": {"mark": FIELDS}})
        keys = [KEY if key == self.builders.toKey(ID) else key for key in keys]
        args[1], args[2], args[5] = NOW, PUSH, FIELDS
        return Frame(RETRY, keys, args, [KEY, NOW, PUSH, ID, TOKEN, FIELDS])

    def _hand_back(self, begun: bool) -> Frame:
        """Build KEYS and ARGV by the header of moveJobFromActiveToWait-9.lua, which has no builder."""
        names = ["active", "wait", "stalled", "paused", "meta", "limiter", "prioritized", "marker", "events"]
        keys = self.builders.getKeys(names)
        return Frame(RETURN[begun], keys, [ID, TOKEN, KEY], [ID, TOKEN, KEY])

    def _await_children(self) -> Frame:
        keys, args = self.builders.moveToWaitingChildrenArgs(ID, TOKEN, {})
        keys = [
            {
                self.builders.toKey(ID): KEY,
                self.builders.toKey(ID) + ":dependencies": KEY + "d",
                self.builders.toKey(ID) + ":unsuccessful": KEY + "u",
            }.get(key, key)
            for key in keys
        ]
        args[2] = NOW
        gaps = [KEY, KEY + "d", KEY + "u", TOKEN, NOW, ID]
        return Frame(AWAIT, keys, args, gaps)
