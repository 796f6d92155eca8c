"""Runs several service processes, for ``auth-worker run`` with ``--processes`` or ``--reload``."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterable, Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from auth_worker.cli.async_runner import run_async
from auth_worker.cli.console import fail
from auth_worker.cli.exit_codes import USAGE
from auth_worker.cli.parsers import whole_numbers
from auth_worker.config import Settings
from auth_worker.core.extras import needs_extra
from auth_worker.http.listening_socket import listen, url_of
from auth_worker.messages import WORKER_MESSAGES
from auth_worker.observability.logs import logger_of

PANEL = "Processes"


@dataclass(frozen=True)
class ProcessFlags:
    """The flags for several processes. ``child`` is passed to the processes themselves and hidden in the help."""

    processes: Annotated[
        int,
        typer.Option(
            "--processes",
            metavar="N",
            help="How many service processes to run and keep running.",
            rich_help_panel=PANEL,
            **whole_numbers(1, 256),
        ),
    ] = 1
    reload: Annotated[
        bool,
        typer.Option(
            "--reload",
            help="Restart when a Python file in this folder changes: for development.",
            rich_help_panel=PANEL,
        ),
    ] = False
    child: Annotated[str | None, typer.Option("--child", hidden=True)] = None


def run_processes(settings: Settings, flags: ProcessFlags, app: str | None, concurrency: int | None) -> int:
    """Run the processes until a signal, and return the exit code. ``app`` and ``concurrency`` are passed to each.

    They get their settings from the environment. Raises ``ConfigurationError`` if the HTTP port cannot be opened.
    """
    if not hasattr(socket, "AF_UNIX"):
        fail("--processes and --reload are for Linux and macOS: this system (Windows) has no unix sockets", USAGE)
    with needs_extra("http", "--reload" if flags.reload else "--processes"):
        from auth_worker.supervisor.http import serve  # a single process needs none of it
        from auth_worker.supervisor.supervisor import Supervisor

    changes = _file_changes() if flags.reload else None
    arguments = ["run", *([app] if app else [])]
    if concurrency is not None:
        arguments += ["--concurrency", str(concurrency)]
    environments = [_environment(settings, number) for number in range(1, flags.processes + 1)]
    log = logger_of(None, settings)
    supervisor = Supervisor(arguments, environments, log, changes)
    return run_async(_supervise(supervisor, serve, settings, log))


async def _supervise(
    supervisor: Any, serve: Callable[..., Coroutine[Any, Any, None]], settings: Settings, log: Any
) -> int:
    serving = None
    if (listening := listen(settings, log)) is not None:
        listener, settings = listening
        os.environ["AUTH_WORKER_HTTP_HOST"] = settings.http_host  # the processes accept the same Host headers
        serving = asyncio.create_task(serve(supervisor, settings, listener, log))
        if listener.family != socket.AF_UNIX:
            host, port, *_ = listener.getsockname()
            log.info(WORKER_MESSAGES.HTTP_PORT_OPEN, host=host, port=port, url=url_of(host, port))
    try:
        return int(await supervisor.run())
    finally:
        if serving is not None:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)


def _environment(settings: Settings, number: int) -> dict[str, str]:
    """Return the environment variables of one process: if the settings have a name, its own one."""
    return {} if settings.name is None else {"AUTH_WORKER_NAME": f"{settings.name}-{number}"}


def _file_changes() -> AsyncIterable[Any]:
    with needs_extra("reload", "--reload"):
        from watchfiles import PythonFilter, awatch
    return awatch(os.getcwd(), watch_filter=PythonFilter())
