"""Writes the output of commands: results to stdout, notes and errors to stderr."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from auth_worker.cli.exit_codes import FAILED
from auth_worker.core.terminal_text import visible, visible_lines

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

UNLIMITED = 100_000
"""The width in cells where there is no terminal; a table takes only what it needs."""


def text(value: object) -> str:
    """Return ``value`` on one line, with rich's markup and control characters escaped."""
    return escape(visible(value))


def text_lines(value: object) -> str:
    """Return a block of several lines, made safe as by ``text``."""
    return escape(visible_lines(value))


def echo(message: str) -> None:
    """Write a line to stdout, with control characters made visible."""
    typer.echo(visible(message))


def results(*, stderr: bool = False) -> Console:
    """Return the console on stdout. Without a terminal its width is unlimited. It draws no emoji for ``:ok:``."""
    console = Console(stderr=stderr, highlight=False, emoji=False)
    if not is_terminal(console):
        console.width = UNLIMITED
    return console


def notes() -> Console:
    """Return the same console on stderr, for notes about the results."""
    return results(stderr=True)


def is_terminal(console: Console) -> bool:
    """Whether ``console`` is a terminal with a width. Under ``FORCE_COLOR`` rich takes a pipe for one too."""
    return console.is_terminal and console.file.isatty()


def progress_bar(*columns: ProgressColumn) -> Progress:
    """Return a progress bar on stderr that disappears at its end; it shows nothing where there is no terminal."""
    from rich.progress import Progress

    console = notes()
    return Progress(
        *columns, console=console, transient=True, redirect_stdout=False, disable=not console.is_terminal
    )


def print_error(message: str) -> None:
    """Print an error to stderr."""
    notes().print(f"[bold red]error:[/] {text(message)}", soft_wrap=True)


def fail(message: str, code: int = FAILED) -> NoReturn:
    """Print an error to stderr, and exit with ``code``."""
    print_error(message)
    raise typer.Exit(code)
