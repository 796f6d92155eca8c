"""Completion in real shells at a terminal: names of queues are offered where they are harmless, and never run."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.command_line import environment
from support.shells import CANARY, HOSTILE, Shell, add_queues
from support.warm_programs import PROGRAM

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(params=["bash", "zsh", "fish"])
def shell(request: pytest.FixtureRequest, folder: Path, redis_url: str) -> Iterator[Shell]:
    """Each shell, in ``folder``."""
    with Shell(request.param, folder, redis_url) as shell:
        yield shell


def test_a_harmless_name_is_completed(shell: Shell, redis_url: str) -> None:
    add_queues(redis_url, "mailQueue", "sms.Queue-1", "sms.Queue-2")
    for command in ("pause", "jobs", "add", "dead list --queue"):
        assert shell.words(f"auth-worker {command} mail\t") == ["auth-worker", *command.split(), "mailQueue"]
    if shell.name != "fish":  # it opens a list to choose from, and takes the next key for that
        assert shell.words("auth-worker pause s\t") == ["auth-worker", "pause", "sms.Queue-"]


def test_a_command_and_a_flag_are_completed(shell: Shell) -> None:
    assert shell.words("auth-worker promo\t") == ["auth-worker", "promote"]
    assert shell.words("auth-worker dead lis\t") == ["auth-worker", "dead", "list"]


def test_a_hostile_name_is_neither_inserted_nor_run(shell: Shell, redis_url: str) -> None:
    """A tabulator inserts what alone begins so: the one name, and of the many one that were offered by mistake."""
    add_queues(redis_url, *HOSTILE, f"one{HOSTILE[0]}", *(f"many{name}" for name in HOSTILE))
    for begun in ("one", "many"):
        assert shell.words(f"auth-worker pause {begun}\t") == ["auth-worker", "pause", begun]
    assert not (shell.folder / CANARY).exists()


def test_what_is_typed_is_not_run_by_a_tabulator(shell: Shell, redis_url: str) -> None:
    add_queues(redis_url, "mailQueue")
    for begun, ended in (
        (f"'$(touch {CANARY})", "'"),
        (f"'a;touch {CANARY};", "'"),
        (f"a\\;touch\\ {CANARY}", ""),
        (f"a\\`touch\\ {CANARY}\\`", ""),
    ):
        shell.words(f"auth-worker pause {begun}\t{ended}")
    assert not (shell.folder / CANARY).exists()


@pytest.mark.parametrize("program", ["auth-worker", "python -m auth_worker"])
def test_the_script_is_for_the_program_however_it_was_called(folder: Path, program: str) -> None:
    path = f"{PROGRAM.parent}:{os.environ['PATH']}"
    shown = subprocess.run(
        ["bash", "-c", f"{program} --show-completion; exit $?"],
        cwd=folder,
        env=environment() | {"HOME": str(folder), "PATH": path},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    assert " _AUTH_WORKER_COMPLETE=complete_bash " in shown.stdout
    assert shown.stdout.rstrip().endswith("complete -o default -F _auth_worker_completion auth-worker")


@pytest.mark.parametrize("shell", ["complete_bash", "complete_zsh", "complete_fish", "complete_powershell"])
def test_every_shell_is_offered_harmless_names_alone(folder: Path, redis_url: str, shell: str) -> None:
    add_queues(redis_url, "mailQueue", *(f"mail{name}" for name in HOSTILE))
    ended = subprocess.run(
        [str(PROGRAM)],
        cwd=folder,
        env=environment(redis_url=redis_url)
        | {
            "_AUTH_WORKER_COMPLETE": shell,
            "COMP_WORDS": "auth-worker pause mail",
            "COMP_CWORD": "2",
            "_TYPER_COMPLETE_ARGS": "auth-worker pause mail",
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
            "_TYPER_COMPLETE_WORD_TO_COMPLETE": "mail",
        },
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert re.findall("mail[^\"'): \n]*", ended.stdout) == ["mailQueue"]
    assert CANARY not in ended.stdout
