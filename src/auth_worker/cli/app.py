"""The commands, by name."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from auth_worker.cli import dead
from auth_worker.cli.add import add
from auth_worker.cli.changes import change, promote, remove, retry
from auth_worker.cli.demo import demo
from auth_worker.cli.doctor import doctor
from auth_worker.cli.jobs import job, jobs
from auth_worker.cli.queues import clean, drain, pause, queues, resume, workers
from auth_worker.cli.run import run
from auth_worker.cli.running import health, metrics
from auth_worker.terminal_text import visible
from auth_worker.version import __version__


class Commands(TyperGroup):
    """The commands; what a usage error quotes of the command line gives the terminal no orders."""

    def make_context(self, *args: Any, **extra: Any) -> Any:
        """As usual, with such messages."""
        with _visible_errors():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: Any) -> Any:
        """As usual, with such messages."""
        with _visible_errors():
            return super().invoke(ctx)


@contextlib.contextmanager
def _visible_errors() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if isinstance(message := getattr(error, "message", None), str):
            error.message = visible(message)  # type: ignore[attr-defined] # an error of click
        raise


app = typer.Typer(
    name="auth-worker",
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
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


def _unwrapped(function: Callable[..., None]) -> str:
    """A docstring with a line a paragraph: the help screen breaks lines itself, but keeps those it finds."""
    text = inspect.getdoc(function) or ""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


class Command(TyperCommand):
    """A command that says what to do about a name or an id which looks like a flag."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As usual, with that remedy where a flag is not known."""
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            if getattr(error, "option_name", None) is None or getattr(error, "possibilities", None):
                raise
            fail: Callable[[str], NoReturn] = ctx.fail
            fail(f"{error}; a name or an id that begins with - goes behind the flags, after --")


PANELS: dict[str, tuple[Callable[..., None], ...]] = {
    "Work": (demo, run, add),
    "Look": (queues, jobs, job, workers, health, metrics, doctor),
    "Act": (retry, promote, change, remove, pause, resume, drain, clean),
    "Other": (version,),
}
for _panel, _commands in PANELS.items():
    for _command in _commands:
        app.command(cls=Command, help=_unwrapped(_command), rich_help_panel=_panel)(_command)
for _info in dead.app.registered_commands:
    _info.help = _unwrapped(_info.callback) if _info.callback else None
    _info.cls = Command
app.add_typer(dead.app, name="dead", rich_help_panel="Act")
