"""``auth-worker dashboard``: the dashboard on its own, beside workers of any kind."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from auth_worker.cli import settings_flags
from auth_worker.cli.async_runner import interruptible, run_async
from auth_worker.cli.console import fail, notes, text
from auth_worker.cli.exit_codes import CLEAN, FAILED, USAGE
from auth_worker.config import Settings
from auth_worker.core.extras import needs_extra
from auth_worker.http.listening_socket import listen, url_of
from auth_worker.messages import WORKER_MESSAGES
from auth_worker.observability.logs import open_log

BASE_PATH = re.compile(r"(/[\w.~-]+)*", re.ASCII)


@dataclass(frozen=True)
class DashboardSettings:
    """The settings that ``auth-worker dashboard`` has flags for."""

    redis_url: settings_flags.Redis = None
    prefix: settings_flags.Prefix = None
    state_dir: settings_flags.StateDir = None
    http_host: settings_flags.HttpHost = None
    http_port: settings_flags.HttpPort = None
    log_level: settings_flags.Level = None
    log_format: settings_flags.Format = None
    config: settings_flags.Config = None


def dashboard(
    base_path: Annotated[
        str,
        typer.Option(
            metavar="PATH", help="The path in front of all pages, such as /jobs, if a proxy does not strip it."
        ),
    ] = "",
    *,
    overrides: DashboardSettings,
) -> None:
    """Serve the dashboard, without a worker, until SIGTERM or Ctrl-C.

    The token in AUTH_WORKER_HTTP_TOKEN permits changes, the one in AUTH_WORKER_HTTP_READ_TOKEN only reading.
    Without a token, only this machine can reach the dashboard, and everything is permitted.

    Example: [bold]auth-worker dashboard --redis redis://localhost:6379[/]
    """
    path = base_path.rstrip("/")
    if not BASE_PATH.fullmatch(path):
        fail(
            "--base-path is a path such as /jobs: it begins with a slash, and has no part that a URL escapes",
            USAGE,
        )
    settings = settings_flags.settings_from(vars(overrides))
    raise typer.Exit(run_async(interruptible(_serve(settings, path), CLEAN)))


async def _serve(settings: Settings, base_path: str) -> int:
    with needs_extra("http", "the dashboard"):
        from auth_worker.http.dashboard.serve import (
            serve_dashboard,
        )  # other commands do not load the web framework

    log = open_log(None, settings)
    opened = listen(settings, log.logger)
    if opened is None:
        fail("the dashboard needs an HTTP port: choose a free one with --http-port, 0 for any", FAILED)
    listener, settings = opened
    try:
        _introduce(log.logger, listener.getsockname(), base_path)
        await serve_dashboard(listener, settings, log.logger, base_path)
    finally:
        log.drain()
    return CLEAN


def _introduce(log: Any, address: Any, base_path: str) -> None:
    """Log where the dashboard is, and print it at a terminal as a link."""
    if not isinstance(address, tuple):
        return
    host, port = address[:2]
    log.info(WORKER_MESSAGES.HTTP_PORT_OPEN, host=host, port=port, url=url_of(host, port))
    if notes().is_terminal:
        notes().print(f"[bold]Dashboard:[/] {text(f'{url_of(host, port)}{base_path}/')}", soft_wrap=True)
