"""The limits of a queue, and its removal."""

from __future__ import annotations

import re

from starlette.responses import Response

from auth_worker.core.backoff import LONGEST_DELAY
from auth_worker.core.coercion import MAX_NUMBER
from auth_worker.errors import ConfigurationError
from auth_worker.http.dashboard.visit import Visit

_SECONDS = re.compile(r"[0-9]{1,12}(\.[0-9]{1,3})?")


async def change_limits(visit: Visit) -> Response:
    """Limit how many jobs of a queue run at a time, and start in a period. What is empty is no limit."""
    operations = await visit.operations()
    queue = await visit.known_queue(visit.field("queue"))
    concurrency = _number(visit, "concurrency", MAX_NUMBER)
    most = _number(visit, "max", MAX_NUMBER)
    duration = _duration(visit)
    if (most is None) is not (duration is None):
        raise ConfigurationError("a rate limit needs both: how many jobs, and in how many seconds")
    limit = None if most is None or duration is None else (most, duration)
    now = await operations.queues.describe_one(queue)
    if concurrency != now.concurrency:
        await operations.settings.set_concurrency(queue, concurrency)
    if limit != (None if now.rate_limit is None else (now.rate_limit.max, now.rate_limit.duration)):
        await operations.settings.set_rate_limit(queue, limit)
    return visit.go("queue", queue=queue, state=visit.field("state"), done="limit")


async def obliterate(visit: Visit) -> Response:
    """Remove a queue with all its jobs, if its name is typed."""
    operations = await visit.operations()
    queue = await visit.known_queue(visit.field("queue"))
    if visit.field("typed") != queue:
        raise ConfigurationError("type the name of the queue to remove it with all its jobs")
    await operations.settings.obliterate(queue, force=visit.field("force") == "true")
    return visit.go("./", done="obliterate")


def _number(visit: Visit, name: str, most: int) -> int | None:
    """Return a field with a whole number from 1 to ``most``; None if it is empty."""
    text = visit.field(name).strip()
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and 1 <= int(text) <= most):
        raise ConfigurationError(f"{name}: write a whole number from 1 to {most:,}, or nothing for no limit")
    return int(text)


def _duration(visit: Visit) -> int | None:
    """Return the field ``seconds`` in ms; None if it is empty."""
    text = visit.field("seconds").strip()
    if not text:
        return None
    duration = round(float(text) * 1000) if _SECONDS.fullmatch(text) else 0
    if not 1 <= duration <= LONGEST_DELAY:
        raise ConfigurationError("seconds: write a number above 0, such as 60 or 0.5, or nothing for no limit")
    return duration
