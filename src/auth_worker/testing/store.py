"""JobStore: all queues of a test in memory, where jobs change state by BullMQ's rules."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Collection, Mapping
from typing import Any

from auth_worker.core.dead_letter import DeadLetter, make_dead_letter
from auth_worker.core.decisions import decide_refused
from auth_worker.core.job_data import encode_job_data
from auth_worker.core.job_options import job_options
from auth_worker.core.json_codec import decode_json, encode_json
from auth_worker.core.keys import job_key
from auth_worker.core.names import check_job_id
from auth_worker.core.outcome import (
    AwaitChildren,
    Complete,
    Fail,
    Outcome,
    Postpone,
    Refusal,
    Retry,
    Throttle,
)
from auth_worker.core.policy import JobPolicy
from auth_worker.core.ports.producer import NOT_ADDED, AddedJob, ExistingJob, JobRequest
from auth_worker.core.ports.values import ChangeResult
from auth_worker.core.worker_config import WORKER_CONFIG
from auth_worker.errors import BrokerError, JobCancelledError
from auth_worker.job import Job
from auth_worker.testing.clock import Clock
from auth_worker.testing.deduplication import Deduplications
from auth_worker.testing.stored_jobs import MemoryJob, NewJob


class JobStore:
    """The jobs of all queues. Every method is atomic, for any thread.

    ``added`` has every job in the order of addition, including those that a real broker would have removed by now.
    """

    def __init__(self, clock: Clock, prefix: str) -> None:
        self.clock = clock
        self.prefix = prefix
        self.lock = threading.RLock()
        self.added: list[MemoryJob] = []
        self.limited_until: dict[str, int] = {}
        """By queue: until when (epoch ms) no job of it starts."""
        self._live: dict[tuple[str, str], MemoryJob] = {}
        self._ids = itertools.count(1)
        self._order = itertools.count(1)
        self.deduplications = Deduplications(clock)

    def find(self, queue: str, job_id: str) -> MemoryJob | None:
        """Return a job that a real broker would still have."""
        return self._live.get((queue, job_id))

    def find_by_key(self, key: str) -> MemoryJob | None:
        """As ``find``, by BullMQ's key of the job."""
        return next((job for job in self._live.values() if job.key == key), None)

    def of(self, queues: Collection[str]) -> list[MemoryJob]:
        """Return the jobs of some queues that a real broker would still have."""
        return [job for job in self._live.values() if job.queue in queues]

    def prepare(self, queue: str, request: JobRequest, defaults: Mapping[str, Any], most: int) -> NewJob:
        """Check a job to add, whose data may have ``most`` bytes. Raises ``ConfigurationError``."""
        name, data, given = request
        options = job_options({**defaults, **given})
        text = encode_job_data(name, data, min(options.size_limit or most, most), most).decode()
        if options.job_id is not None:
            check_job_id(options.job_id)
        return NewJob(options.job_id or str(next(self._ids)), queue, name, text, options)

    def add(self, new: NewJob) -> AddedJob:
        """Add a job. Raises ``BrokerError`` if its parent does not exist."""
        with self.lock:
            options = new.options
            parent = None
            if options.parent is not None:
                parent = self.find_by_key(f"{options.parent.queue}:{options.parent.id}")
                if parent is None:
                    raise BrokerError(f"{NOT_ADDED} the parent of the job does not exist")
            if options.job_id is not None and (new.queue, options.job_id) in self._live:
                return ExistingJob(options.job_id)
            if options.deduplication is not None:
                existing = self.deduplications.holder(new.queue, options.deduplication)
                if existing is not None:
                    if not options.deduplication.replace or existing.state != "delayed":
                        self._remember_last(existing, new)
                        return ExistingJob(existing.id)
                    self.remove(existing)
            job = self.insert(new)
            if options.deduplication is not None:
                self.deduplications.hold(new.queue, options.deduplication, job)
            if parent is not None:
                self.adopt(parent, job)
            return AddedJob(job.id)

    def insert(self, new: NewJob) -> MemoryJob:
        """Store a job, waiting or delayed."""
        now = self.clock.now
        job = MemoryJob(
            id=new.id,
            queue=new.queue,
            name=new.name,
            data=new.data,
            opts={**new.options.wire(), **new.extra},
            timestamp=new.options.timestamp or now,
            key=job_key(self.prefix, new.queue, new.id),
        )
        self.added.append(job)
        self._live[new.queue, new.id] = job
        delay = new.options.delay or 0
        if delay:
            self.delay(job, now + delay)
        else:
            self.let_wait(job, front=bool(new.options.lifo))
        return job

    def adopt(self, parent: MemoryJob, child: MemoryJob) -> None:
        """Let ``parent`` wait for ``child``."""
        child.parent = parent
        parent.children[child.key] = child
        parent.pending.add(child.key)
        if parent.state == "wait":
            parent.state = "waiting-children"

    def let_wait(self, job: MemoryJob, *, front: bool = False) -> None:
        """Put a job behind the waiting ones, or in front of them."""
        order = next(self._order)
        job.order = -order if front else order
        job.state = "prioritized" if job.priority else "wait"

    def delay(self, job: MemoryJob, due: int) -> None:
        """Let a job become ready at ``due`` (epoch ms)."""
        job.state, job.due = "delayed", due

    def remove(self, job: MemoryJob) -> None:
        """Forget a job, as a broker does; ``added`` still has it."""
        job.mark_removed()
        self._live.pop((job.queue, job.id), None)

    def take(self, queues: Collection[str]) -> MemoryJob | None:
        """Make the next job that is due active, and return it; None if there is none."""
        with self.lock:
            now = self.clock.now
            ready = [each for each in self.of(queues) if self.limited_until.get(each.queue, 0) <= now]
            for job in sorted((each for each in ready if each.state == "delayed"), key=lambda each: each.due):
                if job.due <= now:
                    self.let_wait(job)
            waiting = [each for each in ready if each.state in ("wait", "prioritized")]
            if not waiting:
                return None
            job = min(waiting, key=lambda each: (each.priority, each.order))
            job.state, job.processed_on = "active", now
            return job

    def take_this(self, job: MemoryJob) -> bool:
        """Make ``job`` active if it is due, and return whether it is."""
        with self.lock:
            now = self.clock.now
            is_due = job.state in ("wait", "prioritized") or (job.state == "delayed" and job.due <= now)
            if is_due:
                job.state, job.processed_on = "active", now
            return is_due

    def next_due(self, queues: Collection[str]) -> int | None:
        """Return when (epoch ms) the next job that is not a job scheduler's becomes ready; None if none does."""
        with self.lock:
            moments = [
                max(each.due if each.state == "delayed" else 0, self.limited_until.get(each.queue, 0))
                for each in self.of(queues)
                if each.state in ("delayed", "wait", "prioritized") and not each.scheduler_id
            ]
            return min(moments, default=None)

    def add_dead_letter(self, letter: DeadLetter, queue: str) -> None:
        """Add a dead letter to ``queue``."""
        with self.lock:
            if self.find(queue, letter.id) is None:
                data = encode_json(letter.data).decode()
                self.insert(NewJob(letter.id, queue, letter.name, data, job_options({})))

    def settle(self, job: MemoryJob, run: Job, policy: JobPolicy, outcome: Outcome) -> DeadLetter | None:
        """Write the outcome of a run of ``job``. Returns its dead letter if it failed for good."""
        with self.lock:
            if job.pending and isinstance(outcome, Complete):
                outcome = decide_refused(outcome, Refusal.CHILDREN_PENDING, run, policy) or outcome
            match outcome:
                case Complete(value):
                    job.attempts_made += 1
                    job.result = value.decode()
                    self._finish(job, "completed", policy)
                case Retry(delay, reason, trace):
                    self._record_failure(job, reason, trace)
                    self._run_again(job, delay, front=policy.lifo)
                case Fail():
                    return self._fail(job, outcome, policy)
                case Postpone(delay):
                    self._run_again(job, delay)
                case Throttle(duration):
                    self.limited_until[job.queue] = self.clock.now + duration
                    self.let_wait(job, front=True)
                case AwaitChildren() if job.pending:
                    job.state = "waiting-children"
                case _:
                    self.let_wait(job, front=True)
            return None

    def cancel(self, queue: str, job_id: str, reason: str) -> ChangeResult:
        """Cancel a job and the children that it waits for, as in ``ProducerBroker``."""
        with self.lock:
            job = self.find(queue, job_id)
            if job is None:
                return ChangeResult.NO_JOB
            children = [child for key, child in job.children.items() if key in job.pending]
            result = self._cancel(job, reason)
            if result in (ChangeResult.DONE, ChangeResult.REQUESTED):
                for child in children:
                    self.cancel(child.queue, child.id, reason)
            return result

    def _cancel(self, job: MemoryJob, reason: str) -> ChangeResult:
        if job.is_finished:
            return ChangeResult.WRONG_STATE
        if job.state == "active":
            if job.cancel is not None:
                job.cancel(reason)
            return ChangeResult.REQUESTED
        if job.scheduler_id:
            return ChangeResult.NEEDED_BY_SCHEDULER
        job.failed_reason = str(JobCancelledError(reason))
        self._finish(job, "failed", JobPolicy(job.opts, WORKER_CONFIG))
        return ChangeResult.DONE

    def _fail(self, job: MemoryJob, fail: Fail, policy: JobPolicy) -> DeadLetter:
        self._record_failure(job, fail.reason, fail.trace)
        self._finish(job, "failed", policy)
        return make_dead_letter(
            queue=job.queue,
            job_id=job.id,
            name=job.name,
            data=job.decoded,
            opts=dict(job.opts),
            reason=fail.reason,
            reason_class=fail.reason_class,
            traces=job.traces,
            attempts_made=job.attempts_made,
            finished_on=self.clock.now,
            worker="test",
        )

    def _record_failure(self, job: MemoryJob, reason: str, trace: str) -> None:
        job.attempts_made += 1
        job.failed_reason = reason
        job.traces.append(trace)

    def _run_again(self, job: MemoryJob, delay: int, *, front: bool = False) -> None:
        if delay:
            self.delay(job, self.clock.now + delay)
        else:
            self.let_wait(job, front=front)

    def _finish(self, job: MemoryJob, state: str, policy: JobPolicy) -> None:
        job.state, job.finished_on = state, self.clock.now
        keep = policy.keep_complete if state == "completed" else policy.keep_fail
        if keep.get("count") == 0:
            self.remove(job)
        self.deduplications.release(job)
        if job.parent is not None:
            self._update_parent(job.parent, job, policy)
        for callback in job.on_end:
            callback()
        job.report_end()

    def _update_parent(self, parent: MemoryJob, child: MemoryJob, policy: JobPolicy) -> None:
        """Source: moveToFinished-14.lua, and the four options for a child that fails."""
        if child.state == "completed":
            parent.values[child.key] = decode_json(child.result)
        elif policy.fail_parent:
            parent.deferred_failure = f"child {child.key} failed"
        elif policy.ignore_dependency or policy.continue_parent:
            parent.failures[child.key] = child.failed_reason or ""
        elif not policy.remove_dependency:
            return  # it waits forever
        parent.pending.discard(child.key)
        goes_on = parent.deferred_failure is not None or (child.state == "failed" and policy.continue_parent)
        if parent.state == "waiting-children" and (goes_on or not parent.pending):
            self.let_wait(parent)

    def _remember_last(self, existing: MemoryJob, new: NewJob) -> None:
        """Add ``new`` once ``existing`` ends, if its producer wants the last job that came while that ran."""
        deduplication = new.options.deduplication
        if deduplication is not None and deduplication.keep_last_if_active and existing.state == "active":
            existing.on_end[:] = [lambda: self.add(new)]
