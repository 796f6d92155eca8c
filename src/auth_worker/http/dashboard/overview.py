"""The overview of all queues, and the workers."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from starlette.responses import Response

from auth_worker.admin.models import QueueOverview
from auth_worker.admin.problems import Problem, finding_problems, health_problems, queue_problems, worker_problems
from auth_worker.admin.workers import WorkerList
from auth_worker.http.dashboard.visit import PAGE, Visit, next_offset

MOST_PROBLEMS = 8
GROUPED_FROM = 30
"""With this many queues or more, the page offers to group them by the first word of their names."""
_FIRST_WORD = re.compile(r"^[^\W_]+?(?=[-_.]|(?<=[a-z0-9])[A-Z]|$)")
Order = Callable[[QueueOverview], tuple[object, ...]]
ORDERS: dict[str, Order] = {
    "name": lambda queue: (queue.name.casefold(),),
    "waiting": lambda queue: (-queue.waiting, queue.name),
    "oldest": lambda queue: (-(queue.oldest_waiting_ms or 0), queue.name),
    "active": lambda queue: (-queue.counts["active"], queue.name),
    "delayed": lambda queue: (-queue.counts["delayed"], queue.name),
    "failed": lambda queue: (-queue.counts["failed"], queue.name),
    "dead": lambda queue: (-(queue.dead_letters or 0), queue.name),
    "done": lambda queue: (-queue.done_per_minute, queue.name),
    "workers": lambda queue: (-(queue.workers or 0), queue.name),
}


class Totals(NamedTuple):
    """Sums over several queues."""

    queues: int
    waiting: int
    oldest_ms: int | None
    active: int
    delayed: int
    failed: int
    dead: int
    done_per_minute: int
    failed_per_minute: int

    @classmethod
    def of(cls, queues: Sequence[QueueOverview]) -> Totals:
        """Add up ``queues``. The waiting jobs of dead-letter queues count as ``dead`` only."""
        work = [queue for queue in queues if not queue.dead_letters_of]
        return cls(
            queues=len(queues),
            waiting=sum(queue.waiting for queue in work),
            oldest_ms=max((q.oldest_waiting_ms for q in work if q.oldest_waiting_ms is not None), default=None),
            active=sum(queue.counts["active"] for queue in work),
            delayed=sum(queue.counts["delayed"] for queue in work),
            failed=sum(queue.counts["failed"] for queue in work),
            dead=sum(queue.waiting for queue in queues if queue.dead_letters_of),
            done_per_minute=sum(queue.done_per_minute for queue in work),
            failed_per_minute=sum(queue.failed_per_minute for queue in work),
        )


async def show_overview(visit: Visit) -> Response:
    """Show the problems, then every queue."""
    found = await visit.sampler.overview()
    workers = await visit.sampler.workers()
    problems = await _problems(visit, found.queues, workers)
    wanted = visit.asked("match").casefold()
    matching = [queue for queue in found.queues if wanted in queue.name.casefold()]
    order = visit.asked("sort", "name")
    matching.sort(key=ORDERS.get(order, ORDERS["name"]))
    offset = visit.offset(len(matching))
    grouped = visit.asked("group") == "1"
    shown = [] if grouped else matching[offset : offset + PAGE]
    return visit.page(
        "overview.html",
        broker=(await visit.operations()).broker.address,
        complete=found.complete,
        groups=_groups(matching) if grouped else [],
        may_group=len(found.queues) >= GROUPED_FROM,
        more_problems=max(len(problems) - MOST_PROBLEMS, 0),
        next_offset=next_offset(offset, len(matching)),
        offset=offset,
        order=order if order in ORDERS else "name",
        problems=problems if visit.asked("problems") == "all" else problems[:MOST_PROBLEMS],
        letters_of={origin: queue.name for queue in found.queues for origin in queue.dead_letters_of},
        hours=await visit.sampler.last_hour([queue.name for queue in shown]),
        queues=shown,
        slots=workers.slots(),
        total=Totals.of(found.queues),
    )


async def _problems(visit: Visit, queues: Sequence[QueueOverview], workers: WorkerList) -> list[Problem]:
    problems = queue_problems(queues, await visit.sampler.since_deploy()) + worker_problems(workers.processes)
    diagnosis = await visit.sampler.diagnosis()
    if diagnosis is not None:
        problems += finding_problems(diagnosis.findings)
    with contextlib.suppress(TimeoutError):  # a consumer blocks the event loop: the pages go on without its report
        health = await visit.host.health()
        if health is not None:
            problems += health_problems(health)
    return sorted(problems, key=lambda problem: problem.level != "fail")


def _groups(queues: Sequence[QueueOverview]) -> list[tuple[str, Totals]]:
    found: dict[str, list[QueueOverview]] = {}
    for queue in queues:
        word = _FIRST_WORD.match(queue.name)
        found.setdefault(word[0] if word else queue.name, []).append(queue)
    return [(word, Totals.of(group)) for word, group in sorted(found.items())]
