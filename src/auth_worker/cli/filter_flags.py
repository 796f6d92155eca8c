"""The flags that say which jobs are meant."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

import typer

from auth_worker.admin.jobs_read import checked_state
from auth_worker.admin.search import Condition, JobFilter
from auth_worker.cli import flags, operator
from auth_worker.errors import ConfigurationError

WHICH = "Which jobs"
WHERE = r"data.user.id=12; * in VALUE stands for anything, \* for a star; may be repeated."
_which = partial(flags.option, panel=WHICH)


def condition_of(given: str) -> Condition:
    """Read ``data.user.id=12``. Raises ``typer.BadParameter``."""
    try:
        return Condition.of(given)
    except ConfigurationError as error:
        raise typer.BadParameter(str(error)) from None


def state_of(given: str) -> str:
    """Read the name of a state. Raises ``typer.BadParameter``."""
    try:
        return checked_state(given)
    except ConfigurationError as error:
        raise typer.BadParameter(str(error)) from None


Ids = Annotated[list[str] | None, typer.Argument(metavar="ID...", help="Their ids.", show_default=False)]
State = Annotated[
    str | None,
    _which(
        "--state",
        "-s",
        metavar="STATE",
        text="wait, active, delayed, prioritized, paused, waiting-children, completed or failed.",
        parser=state_of,
    ),
]
Id = Annotated[str | None, _which("--id", metavar="TEXT", text="This id; * stands for anything.")]
Name = Annotated[str | None, _which("--name", metavar="TEXT", text="This name; * stands for anything.")]
Error = Annotated[str | None, _which("--error", metavar="TEXT", text="With this text in the reason of failure.")]
Where = Annotated[
    list[Any] | None,
    _which("--where", metavar="PATH=VALUE", text=WHERE, parser=condition_of),
]
Older = Annotated[
    float | None,
    _which("--older", metavar="AGE", text="Finished, or else added, longer ago.", parser=operator.age_s),
]
Every = Annotated[bool, typer.Option("--all", help="All of that state.", rich_help_panel=WHICH)]


def filter_of(parameters: Mapping[str, Any]) -> JobFilter:
    """The filter that the parameters of a command make."""
    return JobFilter(
        id=parameters.get("job_id"),
        name=parameters.get("job_name"),
        text=parameters.get("error"),
        where=tuple(parameters.get("where") or ()),
        older_than=parameters.get("older"),
    )
