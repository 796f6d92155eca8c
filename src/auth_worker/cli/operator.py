"""What the commands that look and act share: flags, the connection, the question, the progress bar."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import re
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Annotated, Any, NamedTuple, NoReturn

import typer
from pydantic import BaseModel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from auth_worker.admin.bulk import Steps
from auth_worker.admin.models import BulkStep, Change
from auth_worker.admin.operations import Operations, open_operations
from auth_worker.cli import flags
from auth_worker.cli.completion import complete_queue
from auth_worker.cli.console import CLEAN, FAILED, INTERRUPTED, USAGE, fail, text
from auth_worker.cli.job_flags import duration_ms
from auth_worker.cli.loop import interruptible, run_async
from auth_worker.cli.tables import notes
from auth_worker.config import Settings
from auth_worker.errors import ConfigurationError
from auth_worker.logs import open_log
from auth_worker.messages import WORKER_MESSAGES
from auth_worker.names import check_queue_name
from auth_worker.terminal_text import ascii_json, visible

UNHEALTHY = 3
"""Exit code of a command that finds what must be mended."""


class Verb(NamedTuple):
    """What a bulk operation does, and what it has done: ``remove``, ``removed``."""

    now: str
    done: str


RETRY, PROMOTE, REMOVE = Verb("retry", "retried"), Verb("promote", "promoted"), Verb("remove", "removed")
REDRIVE, PURGE = Verb("redrive", "redriven"), Verb("purge", "purged")
Work = Callable[[Operations], Awaitable[int | None]]

Queue = Annotated[
    str,
    typer.Argument(
        metavar="QUEUE",
        help="The queue, such as emailQueue.",
        show_default=False,
        autocompletion=complete_queue,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="For programs: JSON, an object a line.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say how many are meant, and do nothing.")]
Reveal = Annotated[bool, typer.Option("--reveal", help="Show data and texts as they are: they may hold secrets.")]
Timeout = Annotated[
    int | None,
    typer.Option(
        "--timeout",
        metavar="TIME",
        help="How long to wait for Redis (5s; 30s for the embedded broker to start).",
        parser=duration_ms,
        rich_help_panel=flags.BROKER,
        show_default=False,
    ),
]


def age_s(text: str) -> float:
    """Read ``90s``, ``2h``, ``7d`` as s. Raises ``typer.BadParameter``."""
    return duration_ms(text if text[-1:].isalpha() else f"{text}s") / 1000


def rate_of(given: str) -> float:
    """Read ``50``, ``50/s``, ``600/m`` as so many a second. Raises ``typer.BadParameter``."""
    found = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)(?:/([smh]))?", given.strip())
    if found is None or not float(found[1]):
        raise typer.BadParameter(f"{given!r} is not a rate such as 50/s or 600/m")
    return float(found[1]) / {"s": 1, "m": 60, "h": 3600}[found[2] or "s"]


Rate = Annotated[
    float | None,
    typer.Option(
        "--rate", metavar="N/s", help="At most so many: 50/s, 600/m.", parser=rate_of, show_default=False
    ),
]


def operate(parameters: Mapping[str, Any], work: Work) -> NoReturn:
    """Connect as the command's flags say, do ``work``, and exit with its code (None: 0); Ctrl-C exits with 130.

    Raises ``AuthWorkerError``.
    """
    queues = [name for name in (parameters.get("queue"), parameters.get("holder")) if name is not None]
    for name in queues:
        _check_queue(name)
    settings = flags.settings_of(parameters)
    given = parameters.get("timeout")
    timeout = None if given is None else given / 1000

    async def connected() -> int:
        async with open_operations(
            settings, timeout=timeout, queues=queues, record=_account(settings)
        ) as operations:
            return await work(operations) or CLEAN

    raise typer.Exit(run_async(interruptible(connected(), INTERRUPTED)))


def print_json(values: Iterable[BaseModel | Mapping[str, Any]]) -> None:
    """Write each value to stdout as a line of JSON."""
    for value in values:
        shown = value.model_dump(by_alias=True) if isinstance(value, BaseModel) else value
        sys.stdout.write(ascii_json(shown) + "\n")
    sys.stdout.flush()


async def act_in_bulk(
    parameters: Mapping[str, Any], steps: Steps, total: int, verb: Verb, what: str, question: str | None = None
) -> int:
    """Do ``steps`` to ``total`` of ``what`` (``jobs``); returns the exit code, 1 where something was skipped.

    A ``question`` is asked before, unless there is nothing to do. A dry run only says how many are meant.
    """
    if _tell_dry_run(parameters, what, total, verb.now):
        return CLEAN
    if question is not None and total:
        _confirm(parameters, question)
    return _report(await _run(steps, verb.done, total), verb.done, what, parameters)


def _confirm(parameters: Mapping[str, Any], question: str) -> None:
    """Ask before what cannot be undone, unless told not to; exits where the answer is no or nobody is there."""
    if parameters.get("yes"):
        return
    if sys.stdin is None or not sys.stdin.isatty():
        fail(f"{question} Give --yes to do it without a question.", USAGE)
    if not typer.confirm(visible(question), err=True):
        notes().print("Nothing was done.")
        raise typer.Exit(FAILED)


def _tell_dry_run(parameters: Mapping[str, Any], what: str, count: int, verb: str) -> bool:
    """Whether this is a dry run; says then how many would be meant."""
    if not parameters.get("dry_run"):
        return False
    if parameters.get("as_json"):
        print_json([{"dryRun": True, "total": count}])
    else:
        typer.echo(f"would {verb} {count} {what if count != 1 else what.removesuffix('s')}")
    return True


async def _run(steps: Steps, verb: str, total: int) -> BulkStep:
    """Run a bulk operation with a progress bar; Ctrl-C stops it between two batches and says how far it came."""
    last = BulkStep()
    with _progress() as progress:
        bar = progress.add_task(verb, total=total)
        try:
            async with contextlib.aclosing(steps):
                async for last in steps:
                    progress.update(bar, total=max(last.total, total), completed=last.done + last.skipped)
        except asyncio.CancelledError:
            progress.stop()
            notes().print(f"Stopped: {verb} {last.done} of {max(last.total, total)}.")
            raise
    return last


def _report(last: BulkStep, verb: str, what: str, parameters: Mapping[str, Any]) -> int:
    """Say what became of a bulk operation; returns the exit code: 1 where something was skipped."""
    if parameters.get("as_json"):
        print_json([last])
    else:
        typer.echo(f"{verb} {last.done} {what if last.done != 1 else what.removesuffix('s')}")
        if last.skipped:
            notes().print(f"[yellow]skipped {last.skipped}:[/]")
            for problem in last.problems:
                notes().print(f"  {text(problem)}", soft_wrap=True)
            if last.skipped > len(last.problems):
                notes().print(f"  and {last.skipped - len(last.problems)} more")
    return FAILED if last.skipped else CLEAN


def _account(settings: Settings) -> Callable[[Change], None]:
    """Logs each change, with who made it; not to a person at a terminal, who has just made it."""
    if sys.stderr.isatty():
        return lambda change: None
    log = open_log(None, settings)

    def record(change: Change) -> None:
        log.logger.info(WORKER_MESSAGES.OPERATOR_CHANGE, who=_user(), **change.model_dump())
        log.drain()

    return record


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return str(os.getuid()) if hasattr(os, "getuid") else "unknown"


def _check_queue(name: str) -> None:
    try:
        check_queue_name("QUEUE", name)
    except ConfigurationError as error:
        fail(str(error), USAGE)


def _progress() -> Progress:
    console = notes()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        redirect_stdout=False,
        disable=not console.is_terminal,
    )
