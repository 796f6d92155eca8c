"""Groups failed jobs by their reason, without numbers, ids and quotations, and by the place that raised it."""

from __future__ import annotations

from collections.abc import Iterable

from auth_worker.admin.failures import normalized, top_frame
from auth_worker.admin.selection import PAGE, SMALL_PAGE, JobFilter
from auth_worker.core.camel_model import CamelModel
from auth_worker.core.clock import now_ms
from auth_worker.core.ports.operator import OperatorBroker
from auth_worker.core.ports.values import StoredJob, printable

TREND_HOURS = 24
HOUR_MS = 3_600_000


class ErrorGroup(CamelModel):
    """Jobs that failed with the same error at the same place. Times are epoch ms.

    ``frame`` is the place that raised the error, ``sample`` the id of the job that failed last. ``trend`` is how
    many failed in each of the last 24 hours.
    """

    error: str
    frame: str
    count: int
    first_seen: int
    last_seen: int
    sample: str
    trend: list[int]


class ErrorGroups(CamelModel):
    """The groups of a queue, the largest first.

    ``scanned`` is how many of the ``total`` failed jobs were read, the newest ones.
    """

    queue: str
    total: int
    scanned: int
    groups: list[ErrorGroup]


class SharedErrorGroup(CamelModel):
    """A group over all queues. ``shares`` are its parts by queue, the largest first."""

    error: str
    frame: str
    count: int
    first_seen: int
    last_seen: int
    trend: list[int]
    shares: dict[str, ErrorGroup]


class SharedErrorGroups(CamelModel):
    """The groups over all queues, the largest first; ``scanned`` of the ``total`` failed jobs were read."""

    total: int
    scanned: int
    groups: list[SharedErrorGroup]


async def group_errors(broker: OperatorBroker, queue: str, wanted: JobFilter, scan: int) -> ErrorGroups:
    """Group the failed jobs that match; at most ``scan`` are read. Raises ``BrokerError``."""
    view, jobs, now = broker.queue(queue), broker.jobs(queue), now_ms()
    total, position = (await view.counts())["failed"], 0
    groups: dict[tuple[str, str], ErrorGroup] = {}
    large = {*wanted.large, "stacktrace"}
    size = SMALL_PAGE if large & {"data", "return_value"} else PAGE
    while position < scan and (ids := await view.ids("failed", position, min(size, scan - position))):
        position += len(ids)
        meant = [job_id for job_id in ids if wanted.matches_id(printable(job_id))]
        for job in await jobs.rows(meant, large, brief=True):
            if job is not None and wanted.matches(job, now):
                key = normalized(job.failed_reason or ""), top_frame(job.stacktrace)
                groups[key] = _counted(groups.get(key), key, job, now)
    found = sorted(groups.values(), key=lambda group: (-group.count, -group.last_seen))
    return ErrorGroups(queue=queue, total=total, scanned=min(position, total), groups=found)


def shared_groups(found: Iterable[ErrorGroups]) -> SharedErrorGroups:
    """Merge the groups of several queues that have the same error and place."""
    shares: dict[tuple[str, str], dict[str, ErrorGroup]] = {}
    total = scanned = 0
    for each in found:
        total, scanned = total + each.total, scanned + each.scanned
        for group in each.groups:
            shares.setdefault((group.error, group.frame), {})[each.queue] = group
    groups = [
        SharedErrorGroup(
            error=error,
            frame=frame,
            count=sum(group.count for group in of_queue.values()),
            first_seen=min(group.first_seen for group in of_queue.values()),
            last_seen=max(group.last_seen for group in of_queue.values()),
            trend=[sum(hour) for hour in zip(*(group.trend for group in of_queue.values()), strict=True)],
            shares=dict(sorted(of_queue.items(), key=lambda share: -share[1].count)),
        )
        for (error, frame), of_queue in shares.items()
    ]
    groups.sort(key=lambda group: (-group.count, -group.last_seen))
    return SharedErrorGroups(total=total, scanned=scanned, groups=groups)


def _counted(known: ErrorGroup | None, key: tuple[str, str], job: StoredJob, now: int) -> ErrorGroup:
    at, job_id = job.finished_on or 0, printable(job.id)
    if known is None:
        error, frame = key
        trend = [0] * TREND_HOURS
        known = ErrorGroup(
            error=error, frame=frame, count=0, first_seen=at, last_seen=at, sample=job_id, trend=trend
        )
    hours_ago = (now - at) // HOUR_MS
    if 0 <= hours_ago < TREND_HOURS:
        known.trend[TREND_HOURS - 1 - hours_ago] += 1
    return known.model_copy(
        update={
            "count": known.count + 1,
            "first_seen": min(known.first_seen, at),
            "last_seen": max(known.last_seen, at),
            "sample": job_id if at > known.last_seen else known.sample,
        }
    )
