"""The flags that name the broker; runs the work of a command while connected to it."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn

import typer
from pydantic import BaseModel

from auth_worker.admin.audit_log import os_user
from auth_worker.admin.models import Change
from auth_worker.admin.operations import Operations, open_operations
from auth_worker.cli import settings_flags
from auth_worker.cli.async_runner import interruptible, run_async
from auth_worker.cli.console import fail
from auth_worker.cli.exit_codes import CLEAN, INTERRUPTED, USAGE
from auth_worker.cli.parsers import duration_ms
from auth_worker.config import Settings
from auth_worker.core.names import check_queue_name
from auth_worker.core.terminal_text import ascii_json
from auth_worker.errors import ConfigurationError
from auth_worker.messages import WORKER_MESSAGES

Work = Callable[[Operations], Awaitable[int | None]]


@dataclass(frozen=True)
class Connection:
    """The flags that name the broker. ``timeout`` is in ms."""

    redis_url: settings_flags.Redis = None
    prefix: settings_flags.Prefix = None
    state_dir: settings_flags.StateDir = None
    timeout: Annotated[
        int | None,
        settings_flags.option(
            "--timeout",
            metavar="TIME",
            text="How long to wait for Redis (5s; 30s for the embedded broker to start).",
            panel=settings_flags.BROKER,
            parser=duration_ms,
        ),
    ] = None
    config: settings_flags.Config = None

    @property
    def settings(self) -> Settings:
        """The settings with these flags. Exits for an invalid Redis URL; raises ``ConfigurationError``."""
        return settings_flags.settings_from(vars(self))


def run_connected(connection: Connection, work: Work, *queues: str | None) -> NoReturn:
    """Connect to the broker, run ``work``, and exit with the code it returns (None: 0); 130 after Ctrl-C.

    ``queues`` are those the command names, and must be valid names. Raises ``AuthWorkerError``.
    """
    for name in queues:
        if name is not None:
            _check_queue_name(name)
    settings = connection.settings
    timeout = None if connection.timeout is None else connection.timeout / 1000

    async def connected() -> int:
        async with open_operations(settings, timeout=timeout, record=_change_log(settings)) as operations:
            return await work(operations) or CLEAN

    raise typer.Exit(run_async(interruptible(connected(), INTERRUPTED)))


def print_json(values: Iterable[BaseModel | Mapping[str, Any]]) -> None:
    """Write each value to stdout as a line of JSON."""
    for value in values:
        shown = value.model_dump(by_alias=True) if isinstance(value, BaseModel) else value
        sys.stdout.write(ascii_json(shown) + "\n")
    sys.stdout.flush()


def _change_log(settings: Settings) -> Callable[[Change], None]:
    """Return a function that logs each change and who made it. Nothing is logged at a terminal."""
    if sys.stderr.isatty():
        return lambda change: None
    from auth_worker.observability.logs import open_log

    log = open_log(None, settings)

    def record(change: Change) -> None:
        log.logger.info(WORKER_MESSAGES.OPERATOR_CHANGE, who=os_user(), **change.model_dump())
        log.drain()

    return record


def _check_queue_name(name: str) -> None:
    try:
        check_queue_name("QUEUE", name)
    except ConfigurationError as error:
        fail(str(error), USAGE)
