"""Notifies open pages by server-sent events which queues have changed, so that they reload."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator

from starlette.responses import Response

from auth_worker.http.dashboard.sampler import Sampler
from auth_worker.http.dashboard.visit import HEADERS, Visit
from auth_worker.http.streaming import GeneratedResponse

MOST_NAMED = 100
"""If more queues have changed, the event names ``*`` instead."""
STREAMED = {**HEADERS, "cache-control": "no-store, no-transform", "x-accel-buffering": "no"}
"""Proxies that obey these headers pass each event on at once, and do not compress, which would hold it back."""


async def stream(visit: Visit) -> Response:
    """Send an endless stream: after each read of the queues, an event that names those that have changed."""
    browser = "" if visit.session is None else visit.session.cookie
    if not visit.sampler.may_watch(browser):  # the page loads itself anew from time to time instead
        return Response("too many pages of this browser are notified already", 429, HEADERS)
    return GeneratedResponse(_events(visit.sampler, browser), headers=STREAMED, media_type="text/event-stream")


async def _events(sampler: Sampler, browser: str) -> AsyncGenerator[str]:
    async with contextlib.aclosing(sampler.changes(browser)) as found:
        async for changes in found:
            named = changes.queues if len(changes.queues) <= MOST_NAMED else ["*"]
            yield f"data: {json.dumps({'changed': named, 'trouble': changes.trouble})}\n\n"
