"""The calls that add jobs: made by the official builders, for jobs with the same options once for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from types import SimpleNamespace
from typing import Any

import msgpack
from bullmq.job import Job as WireJob

from auth_worker.broker.batches import MOST_BATCHED, Batch, BatchFrame
from auth_worker.broker.calls import Call
from auth_worker.broker.scripts import Script, builders, script, short_call, take_call
from auth_worker.errors import ConfigurationError

HEAD, DATA, STAMP = (f"\0{mark}\0" for mark in ("head", "data", "stamp"))
ADD_SCRIPTS = ("addStandardJob", "addDelayedJob", "addPrioritizedJob", "addParentJob")
NewJob = tuple[str, bytes, str, int]
"""A job's name, its data as JSON in UTF-8, its id and its time (epoch ms)."""


class Additions:
    """The calls for the jobs of one queue."""

    def __init__(self, prefix: str, queue: str) -> None:
        self._builders: Any = builders(prefix, queue, take_call)
        self._queue = SimpleNamespace(backend=None, qualifiedName=f"{prefix}:{queue}")

    def call(self, job: NewJob, options: Mapping[str, Any]) -> Call:
        """What adds ``job``. Raises ``ConfigurationError`` for options that exclude each other."""
        return None, short_call(self.build(job, options))

    def frame(self, options: Mapping[str, Any]) -> AddFrame:
        """``call`` for many jobs with the same ``options``. Raises as it does."""
        return AddFrame(*self.build(("name", b"", "id", 1), options))

    def build(self, job: NewJob, options: Mapping[str, Any]) -> tuple[Script, list[Any], list[Any]]:
        """The official builder's call. ``options`` are BullMQ's, and are stored as they are.

        So an id and a time that the producer did not ask for are no options: jobs alike share theirs.
        """
        name, data, job_id, timestamp = job
        try:
            wire = WireJob(self._queue, name, None, dict(options), job_id)
        except ValueError as error:
            raise ConfigurationError(f"job options: {error}") from error
        wire.timestamp = timestamp
        if wire.opts.get("delay"):
            called, keys, args = self._builders.addDelayedJob(wire, wire.opts["delay"])
        elif wire.opts.get("priority"):
            called, keys, args = self._builders.addPrioritizedJob(wire, wire.opts["priority"])
        else:
            called, keys, args = self._builders.addStandardJob(wire, wire.timestamp)
        args[1] = data
        if wire.parentKey:
            return (
                script(called.name, "parent"),
                [*keys, f"{self._queue.qualifiedName}:{job_id}"],
                [*args, wire.parentKey],
            )
        return called, keys, args


class AdditionBatch(Batch):
    """Puts jobs into bytes when they are written, so that Redis has the first of a bulk to work on meanwhile."""

    def values_of(self, calls: Sequence[tuple[Any, NewJob]]) -> list[tuple[BatchFrame, Sequence[bytes]]]:
        """``calls``, each with the values that add its job."""
        return [(frame, frame.values(*job)) for frame, job in calls]


class AddFrame(BatchFrame):
    """The call that adds jobs with the same options, built once: what is left a job is its id, name and data."""

    __slots__ = ("_head", "_key_prefix", "_stamped")

    def __init__(self, called: Script, keys: list[Any], args: list[Any]) -> None:
        """From the official builder's call for a job ``name`` with the id ``id``, added at 1.

        ARGV[1] packs what names the job, ARGV[2] is its data; only addStandardJob has the time at the end.
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
        """What adds ``job``, in a batch with those beside it unless it is large.

        Raises ``UnicodeEncodeError`` for a name that UTF-8 has no bytes for, which would fail too late in a batch.
        An id is checked by whoever makes it.
        """
        name, data, _, _ = job
        if len(name.encode()) + len(data) > MOST_BATCHED:
            return None, self.fill(*self.values(*job))
        return self.batch, (self, job)

    def values(self, name: str, data: bytes, job_id: str, timestamp: int) -> tuple[bytes, ...]:
        """What ``fill`` takes to add a job."""
        head = self._head((self._key_prefix, job_id, name, timestamp, None, None, None, None, None))
        return (head, data, b"%d" % timestamp) if self._stamped else (head, data)


@cache
def add_scripts() -> list[Script]:
    """The scripts a producer's connection must have loaded; they are the same for every queue."""
    additions = Additions("", "")
    frames = [additions.frame(options) for options in ({}, {"delay": 1}, {"priority": 1})]
    children = [script(name, "parent") for name in ADD_SCRIPTS[:3]]
    return [*map(script, ADD_SCRIPTS), *children, *(frame.batch.script for frame in frames)]
