"""``auth-worker doctor``: tells whether the broker is fit for jobs, and what holds the queues up."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from auth_worker.admin.models import Diagnosis
from auth_worker.admin.operations import Operations
from auth_worker.broker.address import Address
from auth_worker.broker.permissions import acl_rule, sentinel_acl_rule
from auth_worker.cli import flags, operator
from auth_worker.cli.console import CLEAN, text
from auth_worker.cli.tables import console, notes
from auth_worker.config import Settings

LEVELS = {"ok": "[green]ok[/]", "warn": "[yellow]WARN[/]", "fail": "[bold red]FAIL[/]"}


def doctor(
    context: typer.Context,
    acl: Annotated[bool, typer.Option("--acl", help="Print the least that a Redis user must be allowed.")] = False,
    as_json: operator.AsJson = False,
    redis_url: flags.Redis = None,
    prefix: flags.Prefix = None,
    state_dir: flags.StateDir = None,
    timeout: operator.Timeout = None,
    config: flags.Config = None,
) -> None:
    """Examine Redis and the queues, and say what to do about what is wrong.

    Looked at: version, role, eviction policy, memory, persistence, permissions, scripts, latency, clock; queues
    nobody works on or that are paused, active jobs whose worker is dead, failed jobs without their dead letter;
    job schedulers that cannot be read or have stopped.

    Exit codes: 0 fit, 1 error, 2 usage, 3 something must be mended, 4 broker unreachable.

    Example: [bold]auth-worker doctor --redis redis://redis.internal:6379[/]
    """
    if acl:
        _print_rules(flags.settings_of(context.params))
        raise typer.Exit(CLEAN)

    async def work(operations: Operations) -> int:
        diagnosis = await operations.doctor.examine()
        if as_json:
            operator.print_json([diagnosis])
        else:
            _show(diagnosis)
        return CLEAN if diagnosis.healthy else operator.UNHEALTHY

    operator.operate(context.params, work)


def _print_rules(settings: Settings) -> None:
    address = Address.of(settings.redis_url.get_secret_value()) if settings.redis_url else Address()
    typer.echo(acl_rule(settings.prefix, cluster=bool(address.cluster)))
    if address.sentinels:
        notes().print("and on each sentinel, for ?sentinel_username=auth-worker&sentinel_password=PASSWORD:")
        typer.echo(sentinel_acl_rule())


def _show(diagnosis: Diagnosis) -> None:
    screen = console()
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
    notes().print(f"[dim]{text(diagnosis.broker)}: {failed} to mend, {warned} to think about[/]")
