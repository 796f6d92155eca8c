"""Completes the names of queues in the shell."""

from __future__ import annotations

import asyncio
import contextlib
import re

import typer

from auth_worker.cli.async_runner import run_async
from auth_worker.cli.settings_flags import settings_from

SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
"""Names that every shell takes for a plain word. bash inserts a completion unquoted, so a name such as
``orders$(reboot)`` would become a command; such names are not offered."""
CONNECTION_FLAGS = ("redis_url", "prefix", "state_dir", "config")
COMPLETE_S = 1.0
"""How long (s) a completion waits for a connection, and again for the names."""


def complete_queue(context: typer.Context, incomplete: str) -> list[str]:
    """Return the queues whose names begin with ``incomplete``; none without a Redis URL, or if Redis is slow."""
    from auth_worker.admin.operations import open_operations

    async def safe_names() -> list[str]:
        async with open_operations(settings, timeout=COMPLETE_S) as operations:
            async with asyncio.timeout(COMPLETE_S):
                found = await operations.queues.overview()
            return [
                queue.name
                for queue in found.queues
                if queue.name.startswith(incomplete) and SAFE.fullmatch(queue.name)
            ]

    with contextlib.suppress(Exception):
        given = {name: context.params.get(name) for name in CONNECTION_FLAGS}
        settings = settings_from(given, check_redis=False)
        if settings.redis_url is not None:  # the embedded broker is not started for this
            return run_async(safe_names())
    return []
