"""Groups of commands. The module of a command is imported only when the command is called."""

from __future__ import annotations

import contextlib
import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from auth_worker.cli.command_table import Entry
from auth_worker.core.terminal_text import visible

click_errors: Any = importlib.import_module(typer.BadParameter.__module__)
"""The module of click's errors: older releases of typer depend on click, newer ones have their own copy."""


class Commands(TyperGroup):
    """A group of commands. Control characters that a usage error quotes are shown as escapes."""

    panels: ClassVar[Mapping[str, Mapping[str, Entry]]] = {}

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        unloaded = {
            name: UnloadedCommand(name, entry, panel)
            for panel, entries in self.panels.items()
            for name, entry in entries.items()
        }
        self.commands = {**unloaded, **self.commands}

    def make_context(self, *args: Any, **extra: Any) -> Any:
        """Part of click."""
        with _visible_errors():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Part of click."""
        with _visible_errors():
            return super().invoke(ctx)


class UnloadedCommand(TyperCommand):
    """A command as a group's help and a shell's completion need it. Calling it imports the command itself."""

    def __init__(self, name: str, entry: Entry, panel: str) -> None:
        super().__init__(name, help=entry.summary, rich_help_panel=panel)
        self._function = entry.function

    def make_context(self, *args: Any, **extra: Any) -> Any:
        """Part of click: the context is the command's own."""
        from auth_worker.cli.flag_groups import expand_flag_groups

        function = load(self._function)
        app = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
        app.command(self.name, cls=_Command, help=_unwrapped(function))(expand_flag_groups(function))
        return typer.main.get_command(app).make_context(*args, **extra)


def load(function: str) -> Callable[..., None]:
    """Import the function of a command, named as in ``Entry``."""
    module, name = function.split(":")
    loaded: Callable[..., None] = getattr(importlib.import_module(f"auth_worker.cli.{module}"), name)
    return loaded


class _Command(TyperCommand):
    """A command whose error for an unknown flag explains how to write a name or an id that begins with -."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Part of click."""
        try:
            return super().parse_args(ctx, args)
        except click_errors.NoSuchOption as error:
            if error.possibilities:
                raise
            fail: Callable[[str], NoReturn] = ctx.fail
            fail(f"{error}; a name or an id that begins with - goes last, after --")


@contextlib.contextmanager
def _visible_errors() -> Iterator[None]:
    try:
        yield
    except click_errors.ClickException as error:
        error.message = visible(error.message)
        raise


def _unwrapped(function: Callable[..., None]) -> str:
    """Return the docstring with one line a paragraph: the help wraps lines, but keeps the breaks it finds."""
    text = inspect.getdoc(function) or ""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
