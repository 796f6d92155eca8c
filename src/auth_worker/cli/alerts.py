"""``auth-worker alerts``: the state of the alerts, and a test of who is notified."""

from __future__ import annotations

import typer

from auth_worker.admin.alert_targets import targets_of
from auth_worker.admin.alerts import AlertState
from auth_worker.admin.operations import Operations
from auth_worker.cli.common_flags import AsJson, Wide
from auth_worker.cli.connection import Connection, print_json, run_connected
from auth_worker.cli.console import notes, text
from auth_worker.cli.exit_codes import CLEAN, FAILED, UNHEALTHY
from auth_worker.cli.formatting import moment
from auth_worker.cli.listing import Column, Listing
from auth_worker.core.alert_messages import rule_text

COLUMNS = (Column("STATE"), Column("ALERT", least=24), Column("SINCE", 1), Column("NOTIFIED", 2, least=12))


def list_alerts(wide: Wide = False, as_json: AsJson = False, *, connection: Connection) -> None:
    """Show the alerts that fire, may fire soon, or have ended within a day, and who was notified.

    Exit codes: 0 none fires, 1 error, 2 usage, 3 at least one fires, 4 broker unreachable.

    Example: [bold]auth-worker alerts list[/]
    """

    async def work(operations: Operations) -> int:
        state = await operations.alerts.state()
        if as_json:
            print_json([state])
        else:
            _show(state, wide=wide)
        return UNHEALTHY if state.firing else CLEAN

    run_connected(connection, work)


def send_test(as_json: AsJson = False, *, connection: Connection) -> None:
    """Send a test to everybody whom the settings name, and say who took it.

    The settings are those of this command: of the file and the environment in which it runs.

    Example: [bold]auth-worker alerts test --config auth-worker.toml[/]
    """
    targets = targets_of(connection.settings)

    async def work(operations: Operations) -> int:
        deliveries = await operations.alerts.test(targets)
        if as_json:
            print_json(deliveries)
        else:
            for each in deliveries:
                typer.echo(f"{each.target}: {each.error or 'taken'}")
        return FAILED if any(each.error for each in deliveries) else CLEAN

    run_connected(connection, work)


def _show(state: AlertState, *, wide: bool) -> None:
    if not state.evaluated_at:
        notes().print(
            "There are no alerts: no service with rules in \\[alerts] has been running within a week. "
            "A new one evaluates them within its first minute."
        )
        return
    listing = Listing(*COLUMNS)
    for alert in state.alerts:
        kind = "firing" if alert.is_firing else "over" if alert.resolved_at is not None else "pending"
        listing.add(kind, text(alert.text), moment(alert.since), text(", ".join(alert.notified) or "-"))
    listing.show(wide=wide)
    rules = "; ".join(rule_text(rule, threshold) for rule, threshold in state.thresholds.items())
    notes().print(f"[dim]{text(rules)}[/]", soft_wrap=True)
    for name, target in state.targets.items():
        if target.error:
            notes().print(f"[yellow]{text(f'{name}: {target.error}')}[/]", soft_wrap=True)
    notes().print(f"[dim]evaluated {moment(state.evaluated_at)} by {text(state.evaluated_by)}[/]", soft_wrap=True)
