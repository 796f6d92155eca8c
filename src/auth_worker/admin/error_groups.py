"""The failures of a queue, grouped by what they say but for numbers, ids and quotations."""

from __future__ import annotations

import re
import time

from auth_worker.admin.masking import masked
from auth_worker.admin.search import JobFilter
from auth_worker.broker.job_view import JobView
from auth_worker.broker.link import Link
from auth_worker.broker.queue_view import QueueView
from auth_worker.report import Report

PAGE = 100
SMALL_PAGE = 20
LONGEST = 200
_TYPE = re.compile(r"[A-Za-z_][\w.]{0,99}(?=:|$)")
_VARIABLE = (
    (re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`"), "<text>"),
    (re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"), "<id>"),
    (re.compile(r"\b0[xX][0-9a-fA-F]+\b|\b(?=[a-fA-F]*[0-9])[0-9a-fA-F]{8,}\b"), "<hex>"),
    (re.compile(r"\b(?=\w*[0-9])(?=\w*[A-Za-z_])\w{8,}\b"), "<id>"),
    (re.compile(r"[0-9]+(?:[.,:][0-9]+)*"), "<number>"),
)


class ErrorGroup(Report):
    """Jobs that failed alike. Times are epoch ms; ``sample`` is the id of the one that failed last."""

    error: str
    count: int
    first_seen: int
    last_seen: int
    sample: str


class ErrorGroups(Report):
    """The groups, the largest first. ``scanned`` of the ``total`` failed jobs were looked at, the newest."""

    queue: str
    total: int
    scanned: int
    groups: list[ErrorGroup]


async def group_errors(link: Link, prefix: str, queue: str, wanted: JobFilter, scan: int) -> ErrorGroups:
    """Group the failed jobs that are meant; at most ``scan`` are looked at. Raises ``BrokerError``."""
    view, jobs, now_ms = QueueView(link, prefix, queue), JobView(link, prefix, queue), time.time() * 1000
    total, position = (await view.counts())["failed"], 0
    groups: dict[str, ErrorGroup] = {}
    size = SMALL_PAGE if wanted.fields else PAGE
    while position < scan and (ids := await view.ids("failed", position, min(size, scan - position))):
        position += len(ids)
        names = {job_id: job_id.decode(errors="backslashreplace") for job_id in ids}
        meant = [job_id for job_id in ids if wanted.matches_id(names[job_id])]
        for job_id, raw in zip(meant, await jobs.rows(meant, wanted.fields), strict=True):
            if not raw or not wanted.matches(raw, now_ms):
                continue
            stamp = raw.get(b"finishedOn", b"")
            at = int(stamp) if re.fullmatch(rb"[0-9]{1,18}", stamp) else 0
            error = normalized(raw.get(b"failedReason", b"").decode(errors="replace"))
            known = groups.get(error) or ErrorGroup(
                error=error, count=0, first_seen=at, last_seen=at, sample=names[job_id]
            )
            groups[error] = known.model_copy(
                update={
                    "count": known.count + 1,
                    "first_seen": min(known.first_seen, at),
                    "last_seen": max(known.last_seen, at),
                    "sample": names[job_id] if at > known.last_seen else known.sample,
                }
            )
    found = sorted(groups.values(), key=lambda group: (-group.count, -group.last_seen))
    return ErrorGroups(queue=queue, total=total, scanned=min(position, total), groups=found)


def normalized(reason: str) -> str:
    """The reason without what differs from job to job: numbers, ids, hex and quotations. Its type stays."""
    line = " ".join(str(masked(reason[:5000])).split())
    kind = _TYPE.match(line)
    start = kind.end() if kind else 0
    rest = line[start:]
    for pattern, replacement in _VARIABLE:
        rest = pattern.sub(replacement, rest)
    return (line[:start] + rest)[:LONGEST]
