"""Reads jobs: a page of them, the selected ones, one in full."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from auth_worker.admin.error_groups import ErrorGroups, group_errors
from auth_worker.admin.errors import NotFoundError
from auth_worker.admin.existence_checks import check_queue
from auth_worker.admin.models import Children, JobDetail, JobLogs, JobPage, JobRow
from auth_worker.admin.selection import ALL, MOST_SELECTED, PAGE, SCAN, SMALL_PAGE, JobFilter, checked_state
from auth_worker.admin.visible_data import encodable, encodable_text, masked, masked_lines, shape
from auth_worker.core.clock import now_ms
from auth_worker.core.json_codec import decode_or_text
from auth_worker.core.policy import natural
from auth_worker.core.ports.operator import JobReader, OperatorBroker
from auth_worker.core.ports.values import StoredJob, printable


class JobQueries:
    """Reads the jobs of all queues of ``broker``. Every method may raise ``BrokerError``."""

    def __init__(self, broker: OperatorBroker) -> None:
        self._broker = broker

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
        """Return ``limit`` jobs of a state that match, from ``offset`` on: next to run or last finished first.

        At most ``scan`` are read. Raises ``ConfigurationError`` for an unknown state.
        """
        state = checked_state(state)
        view, jobs, now = self._broker.queue(queue), self._broker.jobs(queue), now_ms()
        total = (await view.counts())[state]
        rows: list[JobRow] = []
        position, end = offset, min(total, offset + scan)
        while position < end and len(rows) < limit:
            size = (SMALL_PAGE if wanted.large else PAGE) if wanted.restricts else min(PAGE, limit - len(rows))
            ids = await view.ids(state, position, min(size, end - position))
            if not ids:
                position = total
                break
            meant = [job_id for job_id in ids if wanted.matches_id(printable(job_id))]
            brief = wanted.needs_job
            found = dict(zip(meant, await jobs.rows(meant, wanted.large, brief=brief), strict=True))
            chosen: list[StoredJob | None] = []
            for job_id in ids:
                position += 1
                job = found.get(job_id)
                if job is not None and wanted.matches(job, now):
                    chosen.append(job)
                    if len(rows) + len(chosen) == limit:
                        break
            if brief:
                chosen = await jobs.rows([job.id for job in chosen if job is not None])
            rows += [await _row(jobs, job, state, reveal) for job in chosen if job is not None]
        return JobPage(
            queue=queue,
            state=state,
            total=total,
            scanned=position - offset,
            next_offset=position if position < total else None,
            jobs=rows,
        )

    async def find(self, queue: str, job_id: str, wanted: JobFilter = ALL) -> JobRow | None:
        """Return the job with this id as a list shows it; None if there is none, or if it does not match."""
        jobs = self._broker.jobs(queue)
        if await jobs.kind(job_id) != "job":
            return None
        state, (job,) = await asyncio.gather(jobs.state(job_id), jobs.rows([job_id], wanted.large))
        if job is None or not wanted.matches(job, now_ms()):
            return None
        return await _row(jobs, job, state, reveal=False)

    async def show(self, queue: str, job_id: str, *, reveal: bool = False, logs: int = 20) -> JobDetail:
        """Return all that is known about a job, with its last ``logs`` log lines. Raises ``NotFoundError``."""
        jobs = self._broker.jobs(queue)
        job = await jobs.whole(job_id)
        if job is None:
            raise await self._missing(queue, job_id)
        state, (lines, log_count), (owner, lock_ms), children = await asyncio.gather(
            jobs.state(job_id), jobs.logs(job_id, logs), jobs.lock(job_id), jobs.children(job_id)
        )
        row = await _row(jobs, job, state, reveal)
        return JobDetail(
            **row.model_dump(),
            **_contents(job, reveal),
            queue=queue,
            attempts_started=job.attempts_started or 0,
            delay=job.delay or 0,
            logs=_lines(lines, reveal),
            log_count=log_count,
            parent=job.parent,
            children=Children(**children._asdict()) if any(children[:-1]) else None,
            lock_owner=owner,
            lock_ms=None if owner is None else lock_ms,
            deferred_failure=job.deferred_failure,
            deduplication_id=job.deduplication_id,
            scheduler=job.scheduler,
            dead_letter=job.dead_letter,
            revealed=reveal,
        )

    async def select(
        self, queue: str, state: str, wanted: JobFilter = ALL, limit: int = MOST_SELECTED
    ) -> list[str]:
        """Return the ids of ``limit`` jobs of a state that match, in the order of ``page``."""
        state = checked_state(state)
        view, jobs, now = self._broker.queue(queue), self._broker.jobs(queue), now_ms()
        chosen: list[str] = []
        size = SMALL_PAGE if wanted.large else PAGE if wanted.needs_job else 10 * PAGE
        position = 0
        while len(chosen) < limit and (ids := await view.ids(state, position, size)):
            position += len(ids)
            meant = [job_id for job_id in ids if wanted.matches_id(printable(job_id))]
            if wanted.needs_job:
                rows = await jobs.rows(meant, wanted.large, brief=True)
                meant = [job.id for job in rows if job is not None and wanted.matches(job, now)]
            chosen += map(printable, meant)
        return chosen[:limit]

    async def error_groups(self, queue: str, wanted: JobFilter = ALL, scan: int = SCAN) -> ErrorGroups:
        """Return the failed jobs that match, grouped by their reasons; at most ``scan`` are read."""
        return await group_errors(self._broker, queue, wanted, scan)

    async def logs(self, queue: str, job_id: str, limit: int = 1000, *, reveal: bool = False) -> JobLogs:
        """Return the last ``limit`` lines that a job has logged. Raises ``NotFoundError``."""
        jobs = self._broker.jobs(queue)
        if await jobs.kind(job_id) != "job":
            raise await self._missing(queue, job_id)
        lines, total = await jobs.logs(job_id, limit)
        return JobLogs(queue=queue, id=job_id, total=total, lines=_lines(lines, reveal), revealed=reveal)

    async def _missing(self, queue: str, job_id: str) -> NotFoundError:
        where = await self._where_else(queue, job_id)
        if not where:
            await check_queue(self._broker, queue)
        return NotFoundError(f"there is no job {job_id} in queue {queue}{where}")

    async def _where_else(self, queue: str, job_id: str) -> str:
        names, _ = await self._broker.find_queues(budget_s=1.0)
        readers = [self._broker.jobs(name) for name in names if name != queue]
        kinds = await asyncio.gather(*(reader.kind(job_id) for reader in readers))
        others = [reader.queue for reader, kind in zip(readers, kinds, strict=True) if kind == "job"]
        return f"; there is one in {', '.join(others)}" if others else ""


async def _row(jobs: JobReader, job: StoredJob, state: str, reveal: bool) -> JobRow:
    row = job_row(job, state, reveal=reveal)
    return row if state != "delayed" else row.model_copy(update={"due": await jobs.due(job.id)})


def job_row(job: StoredJob, state: str, *, reveal: bool = False) -> JobRow:
    """Return what a list shows of a job in that state, without ``due``."""
    began, ended, reason = job.processed_on, job.finished_on, job.failed_reason
    opts = _json(job.opts, {})
    attempts = natural(opts.get("attempts")) if isinstance(opts, dict) else None
    return JobRow(
        id=printable(job.id),
        name=job.name,
        state=state,
        timestamp=job.timestamp or 0,
        attempts_made=job.attempts_made or 0,
        max_attempts=attempts or None,
        stalled=job.stalled or 0,
        priority=job.priority or 0,
        processed_on=began,
        finished_on=ended,
        ran_ms=ended - began if ended is not None and began is not None else None,
        failed_reason=reason if reveal or reason is None else str(masked(reason)),
        data_bytes=job.data_bytes,
        worker=job.worker,
    )


def _contents(job: StoredJob, reveal: bool) -> dict[str, Any]:
    """Return what is stored as JSON. If it cannot be parsed: its text, or, unless revealed, its length."""
    traces = _json(job.stacktrace, [])
    lines: Sequence[Any] = traces if isinstance(traces, list) else [traces]
    opts = _json(job.opts, {})
    if not isinstance(opts, dict):
        opts = {"unreadable": f"<{len((job.opts or '').encode())} bytes>"}
    stored = {"data": job.data, "return_value": job.return_value, "progress": job.progress}
    read = {name: _json(text, None) for name, text in stored.items()}
    is_number = isinstance(read["progress"], int | float)  # how far it is tells nothing personal
    return {
        **{name: encodable(value) if reveal else shape(value) for name, value in read.items()},
        **({"progress": read["progress"]} if is_number else {}),
        "opts": encodable(opts) if reveal else masked(opts),
        "stacktrace": [line if reveal else masked_lines(line) for line in map(encodable_text, lines)],
    }


def _lines(lines: Sequence[str], reveal: bool) -> list[str]:
    return [line if reveal else masked_lines(line) for line in lines]


def _json(text: str | None, default: Any) -> Any:
    """Return the value of a field, or its text if that is not JSON."""
    return decode_or_text(text) if text else default
