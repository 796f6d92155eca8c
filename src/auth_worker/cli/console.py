"""Where the command line writes: results to stdout, everything said about them to stderr."""

from __future__ import annotations

from typing import NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from auth_worker.lifecycle import BROKER_UNREACHABLE, FAILED_TO_START
from auth_worker.terminal_text import visible, visible_lines

CLEAN, FAILED, USAGE, UNREACHABLE, INTERRUPTED = 0, FAILED_TO_START, 2, BROKER_UNREACHABLE, 130
"""Exit codes; ``service`` has one more, for work handed back."""


def text(value: object) -> str:
    """``value`` on one line, with nothing in it that rich could take for markup, or a terminal for an order."""
    return escape(visible(value))


def text_lines(value: object) -> str:
    """As ``text``, for a block of several lines."""
    return escape(visible_lines(value))


def echo(message: str) -> None:
    """Write a line to stdout, with what others wrote in it made visible."""
    typer.echo(visible(message))


def out() -> Console:
    """The console on stdout."""
    return Console(highlight=False, emoji=False)


def err() -> Console:
    """The console on stderr."""
    return Console(stderr=True, highlight=False, emoji=False)


def say_error(message: str) -> None:
    """Say on stderr what is wrong."""
    err().print(f"[bold red]error:[/] {text(message)}", soft_wrap=True)


def fail(message: str, code: int = FAILED) -> NoReturn:
    """Say on stderr what is wrong, and exit with ``code``."""
    say_error(message)
    raise typer.Exit(code)
