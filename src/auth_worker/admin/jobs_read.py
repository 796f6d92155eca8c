"""Looking at jobs: a page of them, the one that is meant, all that is known of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from auth_worker.admin.error_groups import ErrorGroups, group_errors
from auth_worker.admin.errors import NotFoundError
from auth_worker.admin.masking import masked, masked_lines, shape, whole, whole_text
from auth_worker.admin.models import Children, JobDetail, JobLogs, JobPage, JobRow
from auth_worker.admin.search import ALL, JobFilter
from auth_worker.broker.job_view import JobView
from auth_worker.broker.link import Link
from auth_worker.broker.queue_finder import find_prefixes, find_queues
from auth_worker.broker.queue_view import STATES, QueueView
from auth_worker.coercion import stored_number
from auth_worker.config_errors import nearest
from auth_worker.dead_letter import MARK
from auth_worker.errors import ConfigurationError
from auth_worker.options import decode_json, natural
from auth_worker.payload import RawJob

PAGE = 100
SMALL_PAGE = 20
"""Jobs read at a time where their data is: so that other threads have their turn between two pages."""
SCAN = 10_000
"""How many jobs a search looks at before it says so and lets itself be continued."""
MOST_SELECTED = 100_000
ALIASES = {"waiting": "wait", "dead": "failed"}


class JobReading:
    """The jobs of all queues under ``prefix``. Every method raises ``BrokerError``."""

    def __init__(self, link: Link, prefix: str) -> None:
        self._link = link
        self._prefix = prefix

    async def page(
        self,
        queue: str,
        state: str,
        wanted: JobFilter = ALL,
        *,
        offset: int = 0,
        limit: int = 50,
        scan: int = SCAN,
        reveal: bool = False,
    ) -> JobPage:
        """``limit`` jobs of a state that are meant, from ``offset`` on: next to run first, of finished the newest.

        At most ``scan`` are looked at. Raises ``ConfigurationError`` for a state there is not.
        """
        state = checked_state(state)
        view, jobs, now = (
            QueueView(self._link, self._prefix, queue),
            JobView(self._link, self._prefix, queue),
            time.time(),
        )
        total = (await view.counts())[state]
        rows: list[JobRow] = []
        position, end = offset, min(total, offset + scan)
        while position < end and len(rows) < limit:
            size = (SMALL_PAGE if wanted.fields else PAGE) if wanted.asks else min(PAGE, limit - len(rows))
            ids = await view.ids(state, position, min(size, end - position))
            if not ids:
                position = total
                break
            meant = [job_id for job_id in ids if wanted.matches_id(_text(job_id))]
            found = dict(zip(meant, await jobs.rows(meant, wanted.fields), strict=True))
            for job_id in ids:
                position += 1
                raw = found.get(job_id)
                if raw and wanted.matches(raw, now * 1000):
                    rows.append(await self._row(jobs, _text(job_id), state, raw, reveal))
                    if len(rows) == limit:
                        break
        return JobPage(
            queue=queue,
            state=state,
            total=total,
            scanned=position - offset,
            next_offset=position if position < total else None,
            jobs=rows,
        )

    async def show(self, queue: str, job_id: str, *, reveal: bool = False, logs: int = 20) -> JobDetail:
        """All that is known of a job, with its last ``logs`` lines. Raises ``NotFoundError``."""
        jobs = JobView(self._link, self._prefix, queue)
        raw = await jobs.whole(job_id)
        if not raw:
            raise await self._missing(queue, job_id)
        state, (lines, log_count), (owner, rest), flow = await asyncio.gather(
            jobs.state(job_id), jobs.logs(job_id, logs), jobs.lock(job_id), jobs.flow(job_id)
        )
        row = await self._row(jobs, job_id, state, raw, reveal)
        counts = dict(zip(("pending", "processed", "ignored", "failed"), flow.counts, strict=True))
        parent = raw.get(b"parentKey")
        return JobDetail(
            **row.model_dump(),
            **_contents(raw, reveal),
            queue=queue,
            attempts_started=_number(raw, b"ats") or 0,
            delay=_number(raw, b"delay") or 0,
            logs=_lines(lines, reveal),
            log_count=log_count,
            parent=None if parent is None else _text(parent),
            children=Children(**counts, keys=[_text(key) for key in flow.keys]) if any(flow.counts) else None,
            lock_owner=None if owner is None else _text(owner),
            lock_ms=None if owner is None else rest,
            deferred_failure=_optional(raw, b"defa"),
            deduplication_id=_optional(raw, b"deid"),
            scheduler=_optional(raw, b"rjk"),
            dead_letter=_optional(raw, MARK.encode()),
            revealed=reveal,
        )

    async def select(
        self, queue: str, state: str, wanted: JobFilter = ALL, limit: int = MOST_SELECTED
    ) -> list[str]:
        """The ids of the jobs of a state that are meant, ``limit`` of them, in the order of ``page``."""
        state = checked_state(state)
        view, jobs, now = (
            QueueView(self._link, self._prefix, queue),
            JobView(self._link, self._prefix, queue),
            time.time(),
        )
        chosen: list[str] = []
        size = SMALL_PAGE if wanted.fields else PAGE if wanted.needs_hash else 10 * PAGE
        position = 0
        while len(chosen) < limit and (ids := await view.ids(state, position, size)):
            position += len(ids)
            meant = [job_id for job_id in ids if wanted.matches_id(_text(job_id))]
            if wanted.needs_hash:
                rows = zip(meant, await jobs.rows(meant, wanted.fields), strict=True)
                meant = [job_id for job_id, raw in rows if raw and wanted.matches(raw, now * 1000)]
            chosen += map(_text, meant)
        return chosen[:limit]

    async def error_groups(self, queue: str, wanted: JobFilter = ALL, scan: int = SCAN) -> ErrorGroups:
        """The failed jobs that are meant, by what they failed with; at most ``scan`` are looked at."""
        return await group_errors(self._link, self._prefix, queue, wanted, scan)

    async def check_queue(self, queue: str) -> None:
        """Raise ``NotFoundError`` naming the queues there are, unless there is such a queue."""
        if not await QueueView(self._link, self._prefix, queue).exists():
            names, _ = await find_queues(self._link, self._prefix)
            if not names:
                await self.check_prefix()
            known = ", ".join(names[:10]) if names else "none"
            raise NotFoundError(
                f"there is no queue {queue!r} under the prefix {self._prefix!r}; there are: {known}"
                f"{nearest(queue, names)}"
            )

    async def check_prefix(self) -> None:
        """Raise ``NotFoundError`` naming those that have queues, where this prefix has none and others have."""
        names, complete = await find_queues(self._link, self._prefix)
        others = [] if names or not complete else await find_prefixes(self._link)
        if others:
            raise NotFoundError(
                f"there is no queue under the prefix {self._prefix!r}; there are under {', '.join(others[:10])}"
                f"{nearest(self._prefix, others)}"
            )

    async def logs(self, queue: str, job_id: str, limit: int = 1000, *, reveal: bool = False) -> JobLogs:
        """The last ``limit`` lines a job has logged. Raises ``NotFoundError``."""
        jobs = JobView(self._link, self._prefix, queue)
        if await jobs.kind(job_id) != "job":
            raise await self._missing(queue, job_id)
        lines, total = await jobs.logs(job_id, limit)
        return JobLogs(queue=queue, id=job_id, total=total, lines=_lines(lines, reveal), revealed=reveal)

    async def _missing(self, queue: str, job_id: str) -> NotFoundError:
        where = await self._where_else(queue, job_id)
        return NotFoundError(f"there is no job {job_id} in queue {queue}{where}")

    async def _where_else(self, queue: str, job_id: str) -> str:
        names, _ = await find_queues(self._link, self._prefix, budget=1.0)
        views = [JobView(self._link, self._prefix, name) for name in names if name != queue]
        kinds = await asyncio.gather(*(view.kind(job_id) for view in views))
        others = [view.queue for view, kind in zip(views, kinds, strict=True) if kind == "job"]
        return f"; there is one in {', '.join(others)}" if others else ""

    async def _row(self, jobs: JobView, job_id: str, state: str, raw: RawJob, reveal: bool) -> JobRow:
        began, ended = _number(raw, b"processedOn"), _number(raw, b"finishedOn")
        reason = _optional(raw, b"failedReason")
        opts = _json(raw.get(b"opts"), {})
        attempts = natural(opts.get("attempts")) if isinstance(opts, dict) else None
        return JobRow(
            id=job_id,
            name=_text(raw.get(b"name", b"")),
            state=state,
            timestamp=_number(raw, b"timestamp") or 0,
            attempts_made=_number(raw, b"atm") or 0,
            max_attempts=attempts or None,
            stalled=_number(raw, b"stc") or 0,
            priority=_number(raw, b"priority") or 0,
            due=await jobs.due(job_id) if state == "delayed" else None,
            processed_on=began,
            finished_on=ended,
            ran_ms=ended - began if ended is not None and began is not None else None,
            failed_reason=reason if reveal or reason is None else str(masked(reason)),
            data_bytes=_number(raw, b"bytes") or 0,
            worker=_optional(raw, b"pb"),
        )


def checked_state(state: str) -> str:
    """BullMQ's name of a state. Raises ``ConfigurationError`` naming those there are."""
    name = ALIASES.get(state, state)
    if name not in STATES:
        raise ConfigurationError(f"{state!r} is no state: there are {', '.join(STATES)}{nearest(state, STATES)}")
    return name


def _contents(raw: RawJob, reveal: bool) -> dict[str, Any]:
    """What is kept as JSON; where it cannot be read, its text or, unless revealed, its length."""
    traces = _json(raw.get(b"stacktrace"), [])
    lines: Sequence[Any] = traces if isinstance(traces, list) else [traces]
    opts = _json(raw.get(b"opts"), {})
    if not isinstance(opts, dict):
        opts = {"unreadable": f"<{len(raw.get(b'opts', b''))} bytes>"}
    shown = {
        "data": _json(raw.get(b"data"), None),
        "return_value": _json(raw.get(b"returnvalue"), None),
        "progress": _json(raw.get(b"progress"), None),
    }
    shown = {name: whole(value) if reveal else shape(value) for name, value in shown.items()}
    opts = whole(opts) if reveal else masked(opts)
    return {
        **shown,
        "opts": opts,
        "stacktrace": [line if reveal else masked_lines(line) for line in map(whole_text, lines)],
    }


def _lines(lines: Sequence[bytes], reveal: bool) -> list[str]:
    return [_text(line) if reveal else masked_lines(_text(line)) for line in lines]


def _json(value: bytes | None, default: Any) -> Any:
    if value is None or not value:
        return default
    try:
        return decode_json(value.decode())
    except (ValueError, RecursionError):
        return _text(value)


def _text(value: bytes) -> str:
    return value.decode(errors="backslashreplace")


def _optional(raw: RawJob, field: bytes) -> str | None:
    return _text(raw[field]) if field in raw else None


def _number(raw: RawJob, field: bytes) -> int | None:
    return stored_number(raw.get(field))
