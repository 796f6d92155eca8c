"""The flags that select jobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import typer

from auth_worker.admin.job_conditions import Condition
from auth_worker.admin.selection import JobFilter, checked_finished_state, checked_reason, checked_state
from auth_worker.cli.parsers import age_s
from auth_worker.cli.settings_flags import option
from auth_worker.errors import ConfigurationError

WHICH = "Which jobs"
WHERE = r"data.user.id=12; * in VALUE stands for anything, \* for a star; may be repeated."
_which = partial(option, panel=WHICH)


def condition_of(given: str) -> Condition:
    """Parse ``data.user.id=12``. Raises ``typer.BadParameter``."""
    try:
        return Condition.of(given)
    except ConfigurationError as error:
        raise typer.BadParameter(str(error)) from None


def _parser_of(checked: Callable[[str], str]) -> Callable[[str], str]:
    """Return ``checked`` as the parser of a flag, which raises ``typer.BadParameter``."""

    def parse(given: str) -> str:
        try:
            return checked(given)
        except ConfigurationError as error:
            raise typer.BadParameter(str(error)) from None

    return parse


state_of, finished_state_of, reason_of = map(_parser_of, (checked_state, checked_finished_state, checked_reason))
"""Parse the name of a state, of a state of finished jobs, of a reason class. Raise ``typer.BadParameter``."""


Ids = Annotated[list[str] | None, typer.Argument(metavar="ID...", help="The ids of jobs.", show_default=False)]
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
Id = Annotated[str | None, _which("--id", metavar="TEXT", text="The id; * matches anything.")]
Name = Annotated[str | None, _which("--name", metavar="TEXT", text="The name; * matches anything.")]
Error = Annotated[str | None, _which("--error", metavar="TEXT", text="A text in the reason of the failure.")]
Worker = Annotated[
    str | None, _which("--worker", metavar="TEXT", text="The worker that took it last; * matches anything.")
]
Where = Annotated[
    list[Any] | None,
    _which("--where", metavar="PATH=VALUE", text=WHERE, parser=condition_of),
]
Older = Annotated[
    float | None,
    _which("--older", metavar="AGE", text="Finished (or else added) longer ago than this: 2h, 7d.", parser=age_s),
]
Newer = Annotated[
    float | None,
    _which(
        "--newer", metavar="AGE", text="Finished (or else added) at most this long ago: 10m, 2h.", parser=age_s
    ),
]
Every = Annotated[bool, typer.Option("--all", help="All jobs of the state.", rich_help_panel=WHICH)]


def filter_of(parameters: Mapping[str, Any]) -> JobFilter:
    """Return the filter of a command's parameters."""
    return JobFilter(
        id=parameters.get("job_id"),
        name=parameters.get("job_name"),
        text=parameters.get("error"),
        where=tuple(parameters.get("where") or ()),
        older_than=parameters.get("older"),
        worker=parameters.get("worker"),
        newer_than=parameters.get("newer"),
    )


@dataclass(frozen=True)
class JobFilterFlags:
    """The flags that select jobs of a queue."""

    state: State = None
    job_name: Name = None
    job_id: Id = None
    where: Where = None
    error: Error = None
    older: Older = None
    worker: Worker = None
    newer: Newer = None

    @property
    def filter(self) -> JobFilter:
        """The filter of these flags; the state is not part of it."""
        return filter_of(vars(self))


@dataclass(frozen=True)
class DelayedJobFilterFlags:
    """The flags that select delayed jobs."""

    job_name: Name = None
    job_id: Id = None
    where: Where = None
    older: Older = None
    newer: Newer = None

    @property
    def filter(self) -> JobFilter:
        """The filter of these flags."""
        return filter_of(vars(self))
