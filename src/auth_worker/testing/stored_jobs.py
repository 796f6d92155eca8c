"""The jobs of a test in memory, as a broker would store them."""

from __future__ import annotations

import concurrent.futures
import contextlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from auth_worker.core.job_info import JobInfo
from auth_worker.core.job_options import JobOptions
from auth_worker.core.json_codec import decode_json, encode_json
from auth_worker.core.policy import read_options
from auth_worker.core.ports.producer import Ended
from auth_worker.core.ports.values import StoredJob

FINISHED = ("completed", "failed")


class NewJob(NamedTuple):
    """A checked job to add. ``data`` is JSON. ``extra`` are further options of BullMQ that no producer sets."""

    id: str
    queue: str
    name: str
    data: str
    options: JobOptions
    extra: Mapping[str, Any] = MappingProxyType({})


class MemoryJob:
    """A job of a test. ``data`` is JSON, ``opts`` BullMQ's options. Times are epoch ms.

    ``order`` decides among jobs that wait. ``due`` is when a delayed one becomes ready. ``deferred_failure`` is
    why it must fail without another run, if it must. ``removed``: a real broker would have forgotten it by now.
    """

    def __init__(
        self, *, id: str, queue: str, name: str, data: str, opts: Mapping[str, Any], timestamp: int, key: str
    ) -> None:
        self.id, self.queue, self.name, self.data = id, queue, name, data
        self.stored_opts = encode_json(opts)
        self.opts = read_options(self.stored_opts)
        self.timestamp = timestamp
        self.key = key
        self.state = "wait"
        self.order = 0
        self.due = 0
        self.attempts_made = 0
        self.processed_on: int | None = None
        self.finished_on: int | None = None
        self.result = "null"
        self.failed_reason: str | None = None
        self.traces: list[str] = []
        self.error: BaseException | None = None
        self.logs: list[str] = []
        self.progress: Any = None
        self.parent: MemoryJob | None = None
        self.children: dict[str, MemoryJob] = {}
        self.pending: set[str] = set()
        """The keys of the children that it waits for."""
        self.values: dict[str, Any] = {}
        self.failures: dict[str, str] = {}
        self.scheduler_id = ""
        self.deferred_failure: str | None = None
        self.removed = False
        self.cancel: Callable[[str], None] | None = None
        """Cancels its run, as long as it has one."""
        self.on_end: list[Callable[[], Any]] = []
        self._waiters: list[concurrent.futures.Future[Ended | None]] = []

    @property
    def is_finished(self) -> bool:
        """Whether it has completed, or failed for good."""
        return self.state in FINISHED

    @property
    def priority(self) -> int:
        """Its priority; 0 comes before all."""
        return int(self.opts.get("priority") or 0)

    @property
    def info(self) -> JobInfo:
        """The job as a producer reads it."""
        return JobInfo.of(self.queue, self.stored, self.state)

    @property
    def stored(self) -> StoredJob:
        """The job as an operator reads it."""
        return StoredJob(
            id=self.id,
            name=self.name,
            timestamp=self.timestamp,
            delay=max(0, self.due - self.timestamp),
            priority=self.priority,
            attempts_made=self.attempts_made,
            attempts_started=self.attempts_made,
            processed_on=self.processed_on,
            finished_on=self.finished_on,
            failed_reason=self.failed_reason,
            opts=encode_json(self.opts).decode(),
            data=self.data,
            data_bytes=len(self.data.encode()),
            return_value=self.result if self.state == "completed" else None,
            progress=None if self.progress is None else encode_json(self.progress).decode(),
            stacktrace=encode_json(self.traces).decode(),
            parent=None if self.parent is None else self.parent.key,
            scheduler=self.scheduler_id or None,
        )

    @property
    def decoded(self) -> Any:
        """Its data, decoded."""
        return decode_json(self.data)

    def when_ended(self) -> concurrent.futures.Future[Ended | None]:
        """Return a future of how the job ends; None if it is removed before."""
        future: concurrent.futures.Future[Ended | None] = concurrent.futures.Future()
        self._waiters.append(future)
        if self.is_finished or self.removed:
            self.report_end()
        return future

    def mark_removed(self) -> None:
        """Let it be removed. Whoever waits for its end learns of it."""
        self.removed = True
        if not self.is_finished:
            self.report_end()

    def report_end(self) -> None:
        """Set the futures of ``when_ended``."""
        is_failed = self.state == "failed"
        trace = self.traces[-1] if is_failed and self.traces else None
        ended = Ended(self.result, self.failed_reason if is_failed else None, trace) if self.is_finished else None
        waiters, self._waiters = self._waiters, []
        for future in waiters:
            with contextlib.suppress(concurrent.futures.InvalidStateError):  # its waiter has given up
                future.set_result(ended)
