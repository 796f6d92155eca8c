"""``auth-worker doctor``: checks that the broker is suitable for jobs, and finds what holds the queues up."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from auth_worker.admin.models import Diagnosis
from auth_worker.admin.operations import Operations
from auth_worker.brokers.opening import acl_rules
from auth_worker.cli.common_flags import AsJson
from auth_worker.cli.connection import Connection, print_json, run_connected
from auth_worker.cli.console import notes, results, text
from auth_worker.cli.exit_codes import CLEAN, UNHEALTHY
from auth_worker.config import Settings

LEVELS = {"ok": "[green]ok[/]", "warn": "[yellow]WARN[/]", "fail": "[bold red]FAIL[/]"}


def doctor(
    acl: Annotated[bool, typer.Option("--acl", help="Print the minimal ACL rule of a Redis user.")] = False,
    as_json: AsJson = False,
    *,
    connection: Connection,
) -> None:
    """Check Redis and the queues, and name the remedy for each fault.

    It checks Redis's version, role, eviction policy, memory, persistence, permissions, scripts, latency and clock;
    and finds queues that are paused or have no worker, active jobs whose worker is dead, failed jobs without a
    dead letter, and job schedulers that are unreadable or have stopped.

    Exit codes: 0 no fault, 1 error, 2 usage, 3 at least one fault, 4 broker unreachable.

    Example: [bold]auth-worker doctor --redis redis://redis.internal:6379[/]
    """
    if acl:
        _print_rules(connection.settings)
        raise typer.Exit(CLEAN)

    async def work(operations: Operations) -> int:
        diagnosis = await operations.doctor.examine()
        if as_json:
            print_json([diagnosis])
        else:
            _show(diagnosis)
        return CLEAN if diagnosis.healthy else UNHEALTHY

    run_connected(connection, work)


def _print_rules(settings: Settings) -> None:
    rule, sentinel_rule = acl_rules(settings)
    typer.echo(rule)
    if sentinel_rule is not None:
        notes().print("and on each Sentinel, for ?sentinel_username=auth-worker&sentinel_password=PASSWORD:")
        typer.echo(sentinel_rule)


def _show(diagnosis: Diagnosis) -> None:
    screen = results()
    shown = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for no_wrap in (True, True, False):
        shown.add_column(no_wrap=no_wrap, overflow="fold")
    for finding in diagnosis.findings:
        shown.add_row(LEVELS[finding.level], text(finding.name), text(finding.detail))
        if finding.remedy:
            shown.add_row("", "", f"[bold]-> {text(finding.remedy)}[/]")
    screen.print(shown)
    failed = sum(finding.level == "fail" for finding in diagnosis.findings)
    warned = sum(finding.level == "warn" for finding in diagnosis.findings)
    notes().print(f"[dim]{text(diagnosis.broker)}: {_counted(failed, 'fault')}, {_counted(warned, 'warning')}[/]")


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"
