"""``auth-worker demo``: shows the whole service at work on this machine."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from auth_worker.cli.async_runner import interruptible, run_async
from auth_worker.cli.exit_codes import CLEAN, INTERRUPTED
from auth_worker.core.extras import needs_extra


def demo(
    serve: Annotated[bool, typer.Option("--serve", help="Keep it running afterwards, until Ctrl-C.")] = False,
) -> None:
    """See the whole service at work: broker, mail server, worker, jobs that succeed and fail, dead letters.

    It needs no set-up and leaves nothing behind. Exit codes: 0 if all numbers add up, 1 if not.

    Example: [bold]auth-worker demo[/]
    """
    with needs_extra("demo", "the demo"):
        from auth_worker.cli.demo.run_demo import run_demo

    console = Console(highlight=False, emoji=False)
    raise typer.Exit(run_async(interruptible(run_demo(console, serve=serve), CLEAN if serve else INTERRUPTED)))
