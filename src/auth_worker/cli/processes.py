"""``auth-worker run`` with ``--processes`` or ``--reload``: the parent of the processes that do the work."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterable, Mapping
from typing import Any

from auth_worker.admin.port import listen
from auth_worker.cli import flags
from auth_worker.cli.console import USAGE, fail
from auth_worker.cli.loop import run_async
from auth_worker.config import Settings
from auth_worker.logs import logger_of
from auth_worker.messages import WORKER_MESSAGES


def run_processes(settings: Settings, parameters: Mapping[str, Any]) -> int:
    """Run as many processes as ``parameters`` of the command say, until a signal; returns the exit code.

    Raises ``ConfigurationError`` where the HTTP port cannot be opened.
    """
    from auth_worker.supervisor.processes import Supervisor  # who runs one process needs none of it

    changes = _changes() if parameters["reload"] else None
    flags.export(parameters)
    arguments = ["run", *([parameters["app"]] if parameters["app"] else [])]
    if parameters["concurrency"] is not None:
        arguments += ["--concurrency", str(parameters["concurrency"])]
    environments = [_named(settings, number) for number in range(1, parameters["processes"] + 1)]
    log = logger_of(None, settings)
    supervisor = Supervisor(arguments, environments, log, changes)
    return run_async(_supervise(supervisor, settings, log))


async def _supervise(supervisor: Any, settings: Settings, log: Any) -> int:
    from auth_worker.supervisor.http import serve

    serving = None
    if (listener := listen(settings, log)) is not None:
        serving = asyncio.create_task(serve(supervisor, settings, listener, log))
        host, port, *_ = listener.getsockname()
        log.info(WORKER_MESSAGES.HTTP_PORT_OPEN, host=host, port=port)
    try:
        return int(await supervisor.run())
    finally:
        if serving is not None:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)


def _named(settings: Settings, number: int) -> dict[str, str]:
    """A name of its own for each process, where the user has chosen one."""
    return {} if settings.name is None else {"AUTH_WORKER_NAME": f"{settings.name}-{number}"}


def _changes() -> AsyncIterable[Any]:
    try:
        from watchfiles import PythonFilter, awatch
    except ImportError:
        fail("--reload needs the package watchfiles: pip install 'auth-worker[reload]'", USAGE)
    return awatch(os.getcwd(), watch_filter=PythonFilter())
