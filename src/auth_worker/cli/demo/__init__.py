"""``auth-worker demo``: the whole service at work, in one go, on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from auth_worker.cli.console import CLEAN, INTERRUPTED, out
from auth_worker.cli.loop import interruptible, run_async


def demo(
    serve: Annotated[bool, typer.Option("--serve", help="Stay up afterwards, until Ctrl-C.")] = False,
) -> None:
    """See the whole service at work: broker, mail server, worker, good and bad jobs, dead letters.

    Needs no set-up and leaves nothing behind. Exits with 0 if every number adds up, else with 1.

    Example: [bold]auth-worker demo[/]
    """
    from auth_worker.cli.demo.play import play

    raise typer.Exit(run_async(interruptible(play(out(), serve=serve), CLEAN if serve else INTERRUPTED)))
