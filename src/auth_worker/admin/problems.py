"""Describes what is wrong now in plain text, each problem with its remedy. The dashboard shows it first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from auth_worker.admin.dead_letter_summaries import MOST_COUNTED, SinceDeploy
from auth_worker.admin.models import QueueOverview
from auth_worker.admin.schedulers import SchedulerRow
from auth_worker.admin.workers import WorkerProcess
from auth_worker.core.camel_model import CamelModel
from auth_worker.core.clock import now_ms
from auth_worker.core.durations import duration_text
from auth_worker.core.report import Finding, ServiceHealth

LONG_WAIT_MS = 60_000
LONG_LAG_MS = 1000
"""From this lag (ms) on, the event loop of a process counts as blocked."""
DEPLOY_LASTS_MS = 24 * 3_600_000
"""How long after a deploy what goes wrong is put down to it."""
_REPORTED_BY_QUEUE = frozenset(("workers", "paused"))
"""Findings of the doctor that ``queue_problems`` reports for each queue."""

_SCHEDULERS: dict[str, tuple[Literal["warn", "fail"], str, str]] = {
    "broken": ("fail", "cannot be read", "let the application that created it write it again, or remove it"),
    "stopped": (
        "fail",
        "has no next run: its last job has ended or is gone",
        "start a worker for the queue: it lets the scheduler go on within a minute",
    ),
    "overdue": (
        "warn",
        "is overdue: its job is due, and no worker has begun it",
        "start a worker for the queue, or see why those that it has do not get to it",
    ),
}
"""For each state of a job scheduler that needs attention: the level, what is wrong, the remedy."""


class Problem(CamelModel):
    """Something that is wrong. ``about`` names the queue, if it concerns one."""

    level: Literal["warn", "fail"]
    kind: str
    text: str
    remedy: str
    about: str | None = None


def queue_problems(queues: Sequence[QueueOverview], since: SinceDeploy | None = None) -> list[Problem]:
    """Return what is wrong with these queues: failures first, then warnings, each by the number of jobs.

    ``since``: which of the dead letters are of the time since the last deploy.
    """
    found = [(problem, weight) for queue in queues for problem, weight in _of_queue(queue)]
    if since is not None:
        found = [(_blamed(problem, since), weight) for problem, weight in found]
    found.sort(key=lambda entry: (entry[0].level != "fail", -entry[1]))
    return [problem for problem, _ in found]


def finding_problems(findings: Iterable[Finding]) -> list[Problem]:
    """Return what the doctor found, except for what ``queue_problems`` reports: failures first."""
    found = [
        Problem(
            level=finding.level, kind=finding.name, text=f"{finding.name}: {finding.detail}", remedy=finding.remedy
        )
        for finding in findings
        if finding.level != "ok" and finding.name not in _REPORTED_BY_QUEUE
    ]
    return sorted(found, key=lambda problem: problem.level != "fail")


def health_problems(health: ServiceHealth) -> list[Problem]:
    """Return the reasons for which the service itself is not healthy."""
    return [
        Problem(level="fail", kind="service", text=f"this service: {reason}", remedy="see /health and the log")
        for reason in health.reasons
    ]


def worker_problems(processes: Iterable[WorkerProcess]) -> list[Problem]:
    """Return what is wrong with worker processes: silent ones, late event loops, lost leases, and suspects."""
    found: list[Problem] = []
    for process in processes:
        name = f"worker process {process.pid} on {process.host}"
        if process.is_silent:
            text = f"{name} has been silent for {duration_text(process.silent_ms, 1)}"
            remedy = "see whether it still runs; its jobs are recovered once their leases have ended"
            found.append(Problem(level="fail", kind="silent", text=text, remedy=remedy))
        elif process.lag_ms >= LONG_LAG_MS:
            text = f"{name} is {duration_text(process.lag_ms, 1)} late: a consumer blocks its event loop"
            remedy = "let that consumer await, or be a plain def, or run with execution='process'"
            found.append(Problem(level="warn", kind="lag", text=text, remedy=remedy))
        for beat in process.queues:
            if beat.leases_lost:
                lost = _count(beat.leases_lost, "lease")
                text = f"{beat.queue}: {lost} lost by {name} since it started; those jobs may have run twice"
                remedy = "look for a consumer that blocks the event loop, or a slow or unreachable Redis"
                found.append(Problem(level="warn", kind="leases", text=text, remedy=remedy, about=beat.queue))
            if beat.suspects:
                suspects = _count(beat.suspects, "job")
                text = f"{beat.queue}: {suspects} recovered from dead workers wait to run alone in {name}"
                remedy = "nothing, unless the same job crashes its worker again: then look at that job"
                found.append(Problem(level="warn", kind="suspects", text=text, remedy=remedy, about=beat.queue))
    return found


def scheduler_problems(rows: Iterable[SchedulerRow]) -> list[Problem]:
    """Return a problem for each job scheduler that is broken, stopped or overdue, in the order of ``rows``."""
    found = []
    for row in rows:
        if row.state in _SCHEDULERS:
            level, text, remedy = _SCHEDULERS[row.state]
            described = f"{row.id} of {row.queue} {text}{f': {row.problem}' if row.problem else ''}"
            found.append(Problem(level=level, kind="scheduler", text=described, remedy=remedy, about=row.queue))
    return found


def _of_queue(queue: QueueOverview) -> Iterable[tuple[Problem, int]]:
    name, waiting, oldest_ms = queue.name, queue.waiting, queue.oldest_waiting_ms or 0
    oldest = duration_text(oldest_ms, 1)
    if queue.dead_letters_of:
        return
    if waiting and queue.paused:
        text = f"{name} is paused with {waiting:,} waiting; the oldest waits {oldest}"
        yield Problem(level="warn", kind="paused", text=text, remedy="resume it", about=name), waiting
    elif waiting and queue.workers == 0:
        text = f"No worker on {name} with {waiting:,} waiting; the oldest waits {oldest}"
        yield (
            Problem(level="fail", kind="unattended", text=text, remedy="start one: auth-worker run", about=name),
            waiting,
        )
    elif waiting and oldest_ms > LONG_WAIT_MS:
        text = f"{name} falls behind: the oldest of {waiting:,} waits {oldest}"
        remedy = "start another worker, or raise the concurrency if its jobs mostly wait"
        yield Problem(level="warn", kind="behind", text=text, remedy=remedy, about=name), waiting
    if queue.dead_letters:
        text = f"{name} has {_count(queue.dead_letters, 'dead letter')}"
        remedy = "see why they failed, fix it, then redrive"
        yield Problem(level="warn", kind="dead", text=text, remedy=remedy, about=name), queue.dead_letters


def _blamed(problem: Problem, since: SinceDeploy) -> Problem:
    """Return a problem of dead letters as one of the last deploy, if that was within a day."""
    count = since.letters.get(problem.about or "", 0) if problem.kind == "dead" else 0
    ago_ms = now_ms() - since.deploy.at
    if not count or ago_ms > DEPLOY_LASTS_MS:
        return problem
    counted = f"{'at least ' if count >= MOST_COUNTED else ''}{count:,}"
    text = f"{problem.text}, {counted} since the deploy of {since.deploy.version} {duration_text(ago_ms, 1)} ago"
    remedy = "see whether that version is at fault: if so, roll it back, then redrive"
    return problem.model_copy(update={"level": "fail", "text": text, "remedy": remedy})


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
