"""Reads the flow that a job belongs to, as a tree from its topmost parent down."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from pydantic import Field

from auth_worker.core.camel_model import CamelModel
from auth_worker.core.keys import place_of
from auth_worker.core.ports.operator import OperatorBroker
from auth_worker.core.ports.values import printable

MOST_LEVELS = 10
MOST_NODES = 200
"""How many jobs of a flow are read."""


class FlowNode(CamelModel):
    """A job of a flow and its ``children``; ``hidden`` of them are left out. A removed job is ``unknown``."""

    queue: str
    id: str
    name: str
    state: str
    children: list[FlowNode] = Field(default_factory=list)
    hidden: int = 0


async def flow_of(broker: OperatorBroker, queue: str, job_id: str) -> FlowNode | None:
    """Return the whole flow from its topmost job, or None for a job with neither parent nor children.

    May raise ``BrokerError``.
    """
    first = place = queue, job_id
    for _ in range(MOST_LEVELS):
        (stored,) = await broker.jobs(place[0]).rows([place[1]])
        above = place_of(stored.parent, broker.prefix) if stored is not None and stored.parent else None
        if above is None or (await broker.jobs(above[0]).kind(above[1])) != "job":
            break
        first = place = above
    left = [MOST_NODES]
    tree = await _node(broker, first, MOST_LEVELS, left)
    return tree if first != (queue, job_id) or tree.children or tree.hidden else None


async def _node(broker: OperatorBroker, place: tuple[str, str], levels: int, left: list[int]) -> FlowNode:
    """Read a job and its children. ``left[0]`` is how many more jobs may be read."""
    queue, job_id = place
    left[0] -= 1
    jobs = broker.jobs(queue)
    (stored,), state, children = await asyncio.gather(
        jobs.rows([job_id]), jobs.state(job_id), jobs.children(job_id)
    )
    count = children.pending + children.processed + children.ignored + children.failed
    below = await _below(broker, children.keys, levels - 1, left)
    name = "" if stored is None else stored.name
    return FlowNode(
        queue=queue,
        id=printable(job_id),
        name=name,
        state=state,
        children=below,
        hidden=max(count - len(below), 0),
    )


async def _below(broker: OperatorBroker, keys: Sequence[str], levels: int, left: list[int]) -> list[FlowNode]:
    places = dict.fromkeys(place_of(key, broker.prefix) for key in keys)
    return [
        await _node(broker, place, levels, left)
        for place in places
        if place is not None and levels > 0 and left[0] > 0
    ]
