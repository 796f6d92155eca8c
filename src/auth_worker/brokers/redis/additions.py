"""Builds the calls that add jobs with the official builders, once for all jobs with the same options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from types import SimpleNamespace
from typing import Any

import msgpack
from bullmq.job import Job as WireJob

from auth_worker.brokers.redis.scripts.batches import MOST_BATCHED, Batch, BatchFrame
from auth_worker.brokers.redis.scripts.loader import (
    Script,
    ScriptCall,
    builders,
    reporting_script,
    script,
    short_call,
    take_call,
)
from auth_worker.brokers.redis.wire.call_types import Call
from auth_worker.core.keys import queue_key
from auth_worker.errors import ConfigurationError

HEAD, DATA, STAMP = (f"\0{mark}\0" for mark in ("head", "data", "stamp"))
IDENTIFYING_OPTIONS = frozenset(("jobId", "deduplication"))
"""The options with which a job may exist already."""
ADD_SCRIPTS = ("addStandardJob", "addDelayedJob", "addPrioritizedJob", "addParentJob")
NewJob = tuple[str, bytes, str, int]
"""A job's name, its data as JSON in UTF-8, its id and its timestamp (epoch ms)."""


class Additions:
    """Builds the calls for the jobs of one queue."""

    def __init__(self, prefix: str, queue: str) -> None:
        self._builders: Any = builders(prefix, queue, take_call)
        self._queue = SimpleNamespace(backend=None, qualifiedName=queue_key(prefix, queue))

    def call(self, job: NewJob, options: Mapping[str, Any]) -> Call:
        """Build the call that adds ``job``. Raises ``ConfigurationError`` for options that exclude each other."""
        return None, short_call(self.build(job, options))

    def frame(self, options: Mapping[str, Any]) -> AddFrame:
        """Build a frame that adds many jobs with the same ``options``. Raises as ``call``."""
        return AddFrame(*self.build(("name", b"", "id", 1), options))

    def build(self, job: NewJob, options: Mapping[str, Any], *, has_children: bool = False) -> ScriptCall:
        """Build the official builder's call. A job that ``has_children`` waits for those that are added next.

        ``options`` are BullMQ's, and are stored unchanged. They have no id and no timestamp that the producer did
        not set, so that jobs can share them.
        """
        name, data, job_id, timestamp = job
        try:
            wire = WireJob(self._queue, name, None, dict(options), job_id)
        except ValueError as error:
            raise ConfigurationError(f"job options: {error}") from error
        wire.timestamp = timestamp
        if "delay" not in options:
            del wire.opts["delay"]  # Node stores none either
        if has_children:
            called, keys, args = self._builders.addParentJob(wire)
        elif wire.opts.get("delay"):
            called, keys, args = self._builders.addDelayedJob(wire, wire.opts["delay"])
        elif wire.opts.get("priority"):
            called, keys, args = self._builders.addPrioritizedJob(wire, wire.opts["priority"])
        else:
            called, keys, args = self._builders.addStandardJob(wire, wire.timestamp)
        args[1] = data
        job_key = f"{self._queue.qualifiedName}:{job_id}"
        if wire.parentKey:
            guarded = reporting_script(called.name, "parent")
            return guarded, [*keys, job_key, job_key], [*args, wire.parentKey]
        if not IDENTIFYING_OPTIONS.isdisjoint(options):
            return reporting_script(called.name), [*keys, job_key], args
        return called, keys, args


class AdditionBatch(Batch):
    """Encodes jobs when they are written, so that Redis can start on the first jobs of a bulk meanwhile."""

    def values_of(self, calls: Sequence[tuple[Any, NewJob]]) -> list[tuple[BatchFrame, Sequence[bytes]]]:
        """Return the frame of each call and the values that add its job."""
        return [(frame, frame.values(*job)) for frame, job in calls]


class AddFrame(BatchFrame):
    """The call that adds jobs with the same options, built once. What differs is a job's id, name and data."""

    __slots__ = ("_head", "_key_prefix", "_stamped")

    def __init__(self, called: Script, keys: list[Any], args: list[Any]) -> None:
        """Take the official builder's call for a job ``name`` with the id ``id``, added at 1, as the pattern.

        ARGV[1] packs the identity of the job, ARGV[2] is its data; only addStandardJob has the timestamp at the
        end.
        """
        key_prefix, *named = msgpack.unpackb(args[0])
        if named != ["id", "name", 1, None, None, None, None, None]:
            raise AssertionError(f"{called.name}: the builder's first argument ends with {named}")
        self._key_prefix = key_prefix
        self._head = msgpack.Packer().pack
        self._stamped = called.name == "addStandardJob"
        gaps = [HEAD, DATA, STAMP] if self._stamped else [HEAD, DATA]
        last = STAMP if self._stamped else args[3]
        super().__init__(called, keys, [HEAD, DATA, args[2], last], gaps, AdditionBatch)

    def call(self, job: NewJob) -> Call:
        """Build the call that adds ``job``, batched with others unless it is large.

        Raises ``UnicodeEncodeError`` for a name that UTF-8 cannot encode, which would fail too late in a batch.
        The caller has checked the id.
        """
        name, data, _, _ = job
        if len(name.encode()) + len(data) > MOST_BATCHED:
            return None, self.fill(*self.values(*job))
        return self.batch, (self, job)

    def values(self, name: str, data: bytes, job_id: str, timestamp: int) -> tuple[bytes, ...]:
        """Return the values with which ``fill`` adds a job."""
        head = self._head((self._key_prefix, job_id, name, timestamp, None, None, None, None, None))
        return (head, data, b"%d" % timestamp) if self._stamped else (head, data)


@cache
def add_scripts() -> list[Script]:
    """Return the scripts that a producer's connection must have loaded. They are the same for every queue."""
    additions = Additions("", "")
    frames = [additions.frame(options) for options in ({}, {"delay": 1}, {"priority": 1})]
    reporting = [reporting_script(name, *guards) for name in ADD_SCRIPTS[:3] for guards in ((), ("parent",))]
    return [*map(script, ADD_SCRIPTS), *reporting, *(frame.batch.script for frame in frames)]
