"""Pages of dead letters: the queues that hold them, a list by reason and origin, one dead letter."""

from __future__ import annotations

from starlette.responses import Response

from auth_worker.admin.dead_letter_summaries import MOST_COUNTED, MOST_READ, sum_up
from auth_worker.admin.selection import DeadLetterFilter, checked_reason
from auth_worker.core.outcome import ReasonClass
from auth_worker.http.dashboard.visit import LONGEST, PAGE, Visit

MOST_QUEUES = 20
"""How many dead-letter queues are summed up on a page."""


async def show_dead_letters(visit: Visit) -> Response:
    """Show the queues with dead letters and where they come from, or the dead letters of one queue."""
    operations = await visit.operations()
    if not visit.asked("queue"):
        found = await operations.dead.queues()
        offset = visit.offset(len(found), MOST_QUEUES)
        shown = list(found.items())[offset : offset + MOST_QUEUES]
        queues = [await sum_up(operations.broker, operations.dead, *each) for each in shown]
        return visit.page(
            "dead_queues.html",
            more=offset + MOST_QUEUES if offset + MOST_QUEUES < len(found) else None,
            most_counted=MOST_COUNTED,
            most_read=MOST_READ,
            queues=queues,
            reasons=[str(reason) for reason in ReasonClass],
        )
    queue = await visit.known_queue(visit.asked("queue"))
    wanted = _filter(visit)
    offset = visit.offset(await operations.broker.dead_letters(queue).count())
    page = await operations.dead.page(queue, wanted, offset, PAGE)
    return visit.page(
        "dead.html",
        offset=offset,
        origins=await operations.dead.origins(queue, MOST_COUNTED),
        page=page,
        queue=queue,
        reasons=[str(reason) for reason in ReasonClass],
        wanted=wanted,
    )


async def show_letter(visit: Visit) -> Response:
    """Show one dead letter, with the shape of its data."""
    letter, queue = visit.asked("letter")[:LONGEST], visit.asked("queue")
    if not queue and letter:
        queue = await (await visit.operations()).dead.find(letter)
    return await letter_page(visit, await visit.known_queue(queue), letter)


async def letter_page(visit: Visit, queue: str, letter_id: str, *, reveal: bool = False) -> Response:
    """Show why a job failed for good; with ``reveal`` also its data."""
    operations = await visit.operations()
    letter = await operations.dead.show(queue, letter_id[:LONGEST], reveal=reveal)
    return visit.page("letter.html", letter=letter, queue=queue)


def _filter(visit: Visit) -> DeadLetterFilter:
    return DeadLetterFilter(
        queue=visit.asked("from") or None,
        reason_class=checked_reason(visit.asked("reason")) if visit.asked("reason") else None,
        text=visit.asked("error")[:LONGEST] or None,
        name=visit.asked("name")[:LONGEST] or None,
    )
