"""Checks that a queue or a prefix exists; the error for one that does not names those that do."""

from __future__ import annotations

from auth_worker.admin.errors import NotFoundError
from auth_worker.core.config_errors import nearest
from auth_worker.core.ports.operator import OperatorBroker


async def check_queue(broker: OperatorBroker, queue: str) -> None:
    """Raise ``NotFoundError``, naming the queues that exist, unless this one does."""
    if not await broker.queue(queue).exists():
        found, _ = await broker.find_queues()
        names = [name for name in found if name != queue]  # what was removed just now may be found still
        if not names:
            await check_prefix(broker)
        known = ", ".join(names[:10]) if names else "none"
        raise NotFoundError(
            f"there is no queue {queue!r} under the prefix {broker.prefix!r}; there are: {known}"
            f"{nearest(queue, names)}"
        )


async def check_prefix(broker: OperatorBroker) -> None:
    """Raise ``NotFoundError`` if no queue has this prefix but some have others, which it names."""
    names, complete = await broker.find_queues()
    others = [] if names or not complete else await broker.find_prefixes()
    if others and broker.prefix not in others:  # in a cluster its queues may be on another node
        raise NotFoundError(
            f"there is no queue under the prefix {broker.prefix!r}; there are under {', '.join(others[:10])}"
            f"{nearest(broker.prefix, others)}"
        )
