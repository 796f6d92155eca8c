"""Runs an operation on many jobs or dead letters: with dry run, confirmation, progress bar and summary."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from dataclasses import dataclass
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from auth_worker.admin.models import BulkStep
from auth_worker.admin.plan import DeadLetterAction, JobAction, Plan
from auth_worker.cli.common_flags import AsJson
from auth_worker.cli.connection import print_json
from auth_worker.cli.console import fail, notes, progress_bar, text
from auth_worker.cli.exit_codes import CLEAN, FAILED, USAGE
from auth_worker.cli.parsers import rate_per_s
from auth_worker.core.terminal_text import visible

A = TypeVar("A", bound=str)


class Verb(NamedTuple, Generic[A]):
    """The name of an operation, and its participle for messages: ``remove``, ``removed``."""

    infinitive: A
    participle: str


RETRY: Verb[JobAction] = Verb("retry", "retried")
PROMOTE: Verb[JobAction] = Verb("promote", "promoted")
REMOVE: Verb[JobAction] = Verb("remove", "removed")
CANCEL: Verb[JobAction] = Verb("cancel", "cancelled")
DEAD_LETTER: Verb[JobAction] = Verb("dead-letter", "dead-lettered")
REDRIVE: Verb[DeadLetterAction] = Verb("redrive", "redriven")
PURGE: Verb[DeadLetterAction] = Verb("purge", "purged")


@dataclass(frozen=True)
class BulkFlags:
    """The flags of every bulk operation. ``rate`` is the highest rate per second."""

    rate: Annotated[
        float | None,
        typer.Option(
            "--rate", metavar="N/s", help="The highest rate: 50/s, 600/m.", parser=rate_per_s, show_default=False
        ),
    ] = None
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print how many it would change.")] = False
    as_json: AsJson = False


async def run_bulk_operation(
    flags: BulkFlags, plan: Plan, verb: Verb[Any], things: str, question: str | None = None
) -> int:
    """Run ``plan`` on ``things`` (``jobs``), and return the exit code: 1 if any were skipped.

    A dry run only prints how many it would change. A ``question`` is asked first, unless nothing would change.
    """
    if flags.dry_run:
        _print_dry_run(verb, plan.total, things, as_json=flags.as_json)
        return CLEAN
    if question is not None and plan.total:
        confirm(question)
    return _print_summary(await _run(plan, verb), verb, things, as_json=flags.as_json)


def confirm(question: str) -> None:
    """Ask for confirmation; exits if the answer is no, or if there is no terminal to ask at."""
    if sys.stdin is None or not sys.stdin.isatty():
        fail(f"{question} Give --yes to do it without confirmation.", USAGE)
    if not typer.confirm(visible(question), err=True):
        notes().print("Nothing was done.")
        raise typer.Exit(FAILED)


def _print_dry_run(verb: Verb[Any], total: int, things: str, *, as_json: bool) -> None:
    if as_json:
        print_json([{"dryRun": True, "total": total}])
    else:
        typer.echo(f"would {verb.infinitive} {_counted(total, things)}")


async def _run(plan: Plan, verb: Verb[Any]) -> BulkStep:
    """Run the plan with a progress bar. Ctrl-C stops it between two batches, and prints how far it got."""
    last, total = BulkStep(), plan.total
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with progress_bar(*columns) as progress:
        bar = progress.add_task(verb.participle, total=total)
        try:
            async with contextlib.aclosing(plan.steps):
                async for last in plan.steps:
                    progress.update(bar, total=max(last.total, total), completed=last.done + last.skipped)
        except asyncio.CancelledError:
            progress.stop()
            notes().print(f"Stopped: {verb.participle} {last.done} of {max(last.total, total)}.")
            raise
    return last


def _print_summary(last: BulkStep, verb: Verb[Any], things: str, *, as_json: bool) -> int:
    """Print how many were changed and skipped, and why. Returns the exit code: 1 if any were skipped."""
    if as_json:
        print_json([last])
    else:
        typer.echo(f"{verb.participle} {_counted(last.done, things)}")
        if last.skipped:
            notes().print(f"[yellow]skipped {last.skipped}:[/]")
            for problem in last.problems:
                notes().print(f"  {text(problem)}", soft_wrap=True)
            if last.skipped > len(last.problems):
                notes().print(f"  and {last.skipped - len(last.problems)} more")
    return FAILED if last.skipped else CLEAN


def _counted(count: int, things: str) -> str:
    return f"{count} {things if count != 1 else things.removesuffix('s')}"
