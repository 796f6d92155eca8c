"""The ``auth-worker`` application: its groups of commands, and ``version``."""

from __future__ import annotations

from typing import Annotated

import typer

from auth_worker.cli.command_group import Commands
from auth_worker.cli.command_table import (
    ALERT_COMMANDS,
    COMMANDS,
    CONFIG_COMMANDS,
    DEAD_LETTER_COMMANDS,
    SCHEDULER_COMMANDS,
)
from auth_worker.cli.zsh_completion import complete_at_first_tab
from auth_worker.version import __version__


class _AuthWorker(Commands):
    panels = COMMANDS


class _Dead(Commands):
    panels = DEAD_LETTER_COMMANDS


class _Schedulers(Commands):
    panels = SCHEDULER_COMMANDS


class _Alerts(Commands):
    panels = ALERT_COMMANDS


class _Config(Commands):
    panels = CONFIG_COMMANDS


complete_at_first_tab()
app = typer.Typer(
    name="auth-worker",
    cls=_AuthWorker,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(
    typer.Typer(
        cls=_Dead,
        no_args_is_help=True,
        help="Dead letters: the jobs that failed for good, and what happened to them.",
    ),
    name="dead",
    rich_help_panel="Act",
)
app.add_typer(
    typer.Typer(
        cls=_Schedulers,
        no_args_is_help=True,
        help="Job schedulers, which add jobs at an interval or by a cron pattern.",
    ),
    name="schedulers",
    rich_help_panel="Act",
)
app.add_typer(
    typer.Typer(cls=_Alerts, no_args_is_help=True, help="Alerts: what is wrong by the rules of the settings."),
    name="alerts",
    rich_help_panel="Look",
)
app.add_typer(
    typer.Typer(cls=_Config, no_args_is_help=True, help="The settings: what each is, and where it is set."),
    name="config",
    rich_help_panel="Other",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.callback()
def auth_worker(
    _: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """The production worker service for BullMQ queues in Python.

    Start with [bold]auth-worker demo[/].
    """


def version() -> None:
    """Show the version.

    Example: [bold]auth-worker version[/]
    """
    typer.echo(__version__)
