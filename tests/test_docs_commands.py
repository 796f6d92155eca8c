"""Every command that a page, a manifest or an example names exists, with its flags and as many arguments."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import typer.main

from auth_worker.cli.app import app
from auth_worker.cli.command_group import click_errors
from support.pages import ROOT

PLACES = ("README.md", "SECURITY.md", "CONTRIBUTING.md", "docs/*.md", "deploy", "examples", "src/*.template")
NAMED = re.compile(r"`auth-worker ([a-z][^`]*)`|^ *[$#]? ?auth-worker (.+)$", re.MULTILINE)
QUOTED = re.compile(r"'[^']*('|$)")
"""A quoted argument, which may go on in the next line."""
END = re.compile(r" *([|>;]|&&| #| -- ).*")
"""What follows a command in its line: a pipe, a comment, what it is given as it stands."""


def _fault(words: list[str]) -> str | None:
    command: Any = typer.main.get_command(app)
    context = typer.Context(command, info_name="auth-worker")
    while hasattr(command, "get_command") and words and not words[0].startswith("-"):
        name, *words = words
        command = command.get_command(context, name)
        if command is None:
            return f"there is no command {name}"
    if not words:
        return None
    try:
        command.make_context("auth-worker", words)
    except click_errors.MissingParameter:
        return None  # the page speaks of the command, and shows no call
    except click_errors.ClickException as error:
        return str(error)
    return None


def _faults(text: str) -> list[str]:
    joined = text.replace("\\\n", " ")
    named = [END.sub("", QUOTED.sub("X", found[1] or found[2])) for found in NAMED.finditer(joined)]
    return [f"auth-worker {each}: {fault}" for each in named if (fault := _fault(each.split()))]


def test_every_command_that_is_named_is_one() -> None:
    listed = subprocess.run(
        ["git", "ls-files", *PLACES], cwd=ROOT, capture_output=True, text=True, check=True, timeout=20
    )
    pages = [ROOT / path for path in listed.stdout.splitlines()]
    assert len(pages) > 40
    faults = {str(page.relative_to(ROOT)): _faults(page.read_text(encoding="utf-8")) for page in pages}
    assert {page: found for page, found in faults.items() if found} == {}


def test_a_command_that_is_none_is_found() -> None:
    page = "`auth-worker dead show Q ID`, `auth-worker jobs Q --newest`\n$ auth-worker dead lists\n"
    assert [line.partition(": ")[0] for line in _faults(page)] == [
        *("auth-worker dead show Q ID", "auth-worker jobs Q --newest", "auth-worker dead lists"),
    ]
