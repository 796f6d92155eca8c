"""What the shell offers where a queue is to be named."""

from __future__ import annotations

import asyncio
import contextlib
import re

import typer

from auth_worker.admin.operations import open_operations
from auth_worker.cli import flags
from auth_worker.cli.loop import run_async

SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
"""Names that no shell reads as anything but a word. bash inserts what it is offered unquoted, so that a name such
as ``orders$(reboot)`` would be a command; other names are typed, and quoted, by hand."""
COMPLETE_S = 1.0
"""How long (s) the shell waits for the names of queues."""


def complete_queue(context: typer.Context, incomplete: str) -> list[str]:
    """The queues whose names begin so, for the shell; none where there is no Redis or it takes long."""

    async def safe_names() -> list[str]:
        async with asyncio.timeout(COMPLETE_S), open_operations(settings, timeout=COMPLETE_S) as operations:
            found = await operations.queues.overview()
            return [
                queue.name
                for queue in found.queues
                if queue.name.startswith(incomplete) and SAFE.fullmatch(queue.name)
            ]

    with contextlib.suppress(Exception):
        settings = flags.settings_of(context.params, checked=False)
        if settings.redis_url is not None:  # the embedded broker is not started for this
            return run_async(safe_names())
    return []
