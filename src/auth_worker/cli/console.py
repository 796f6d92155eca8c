"""Where the command line writes: results to stdout, everything said about them to stderr."""

from __future__ import annotations

from typing import NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from auth_worker.lifecycle import BROKER_UNREACHABLE, FAILED_TO_START

CLEAN, FAILED, USAGE, UNREACHABLE, INTERRUPTED = 0, FAILED_TO_START, 2, BROKER_UNREACHABLE, 130
"""Exit codes; ``service`` has one more, for work handed back."""


def out() -> Console:
    """The console on stdout."""
    return Console(highlight=False, emoji=False)


def err() -> Console:
    """The console on stderr."""
    return Console(stderr=True, highlight=False, emoji=False)


def say_error(message: str) -> None:
    """Say on stderr what is wrong."""
    err().print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True)


def fail(message: str, code: int = FAILED) -> NoReturn:
    """Say on stderr what is wrong, and exit with ``code``."""
    say_error(message)
    raise typer.Exit(code)
