"""Completion in a real bash at a terminal: names of queues are offered where they are harmless, and never run."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from cli.commands import PROGRAM, environment

CANARY = "canary"
HOSTILE = [
    f"$(touch {CANARY})",
    f"`touch {CANARY}`",
    f";touch {CANARY}",
    f"|touch {CANARY}",
    f"&touch {CANARY}",
    f" ;touch {CANARY};",
    f"\ntouch {CANARY}\n",
    f"'$(touch {CANARY})'",
    f'"$(touch {CANARY})"',
    f"${{x-$(touch {CANARY})}}",
    f"<(touch {CANARY})",
    f">{CANARY}",
    f"\\$(touch {CANARY})",
    f"!touch {CANARY}",
    f"\x1b[31m$(touch {CANARY})",
    "*",
    "?",
    "[a-z]",
    "{a,b}",
    "~root",
    "#x",
    "=x",
    "%1",
    "\r",
    "\t",
    "\u202e",
    "ж",
]


class Bash:
    """An interactive bash whose home has what ``--install-completion`` writes; it runs in ``folder``."""

    def __init__(self, folder: Path, redis_url: str) -> None:
        self.folder = folder
        path = f"{PROGRAM.parent}:{os.environ['PATH']}"
        self._environment = environment(redis_url=redis_url) | {"HOME": str(folder), "PATH": path, "PS1": ""}
        installed = subprocess.run(
            ["bash", "-c", "auth-worker --install-completion; exit $?"],
            cwd=folder,
            env=self._environment,
            capture_output=True,
            timeout=50,
            check=False,
        )
        assert installed.returncode == 0, installed.stderr
        self._terminal, theirs = pty.openpty()
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--rcfile", str(folder / ".bashrc"), "-i"],
            cwd=folder,
            env=self._environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self._count = 0

    def words(self, typed: str) -> list[str]:
        """The words of the line after ``typed``, in which tabulators complete, as bash runs it."""
        self._count += 1
        mark = f"end-{self._count}"
        keys = f"{typed}\x01printf '<%s>\\n' \r" + f"echo {mark[:3]}''{mark[3:]}\r"
        os.write(self._terminal, keys.encode())
        screen = ""
        deadline = time.monotonic() + 40
        while mark not in screen:
            ready, _, _ = select.select([self._terminal], [], [], max(deadline - time.monotonic(), 0))
            assert ready, f"bash does not answer: {screen!r}"
            screen += os.read(self._terminal, 65536).decode(errors="replace")
        shown = re.sub("\x1b\\[[0-9;?]*[A-Za-z]", "", screen).replace("\r", "\n")
        return re.findall(r"^<([^>]*)>$", shown, re.MULTILINE)

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait(30)
        os.close(self._terminal)


@pytest.fixture
def bash(folder: Path, redis_url: str) -> Iterator[Bash]:
    """A bash in ``folder``."""
    shell = Bash(folder, redis_url)
    yield shell
    shell.close()


def add_queues(redis_url: str, *names: str) -> None:
    """Queues of these names with a job each, as whoever may write to Redis makes them."""
    with redis.Redis.from_url(redis_url) as client:
        for name in names:
            client.hset(f"bull:{name}:meta", "opts.maxLenEvents", 10_000)
            client.hset(f"bull:{name}:1", mapping={"name": "job", "data": "{}", "opts": "{}", "timestamp": 1})
            client.lpush(f"bull:{name}:wait", "1")


def test_a_harmless_name_is_completed(bash: Bash, redis_url: str) -> None:
    add_queues(redis_url, "mailQueue", "sms.Queue-1", "sms.Queue-2")
    for command in ("pause", "jobs", "add", "dead list --queue"):
        assert bash.words(f"auth-worker {command} mail\t") == ["auth-worker", *command.split(), "mailQueue"]
    assert bash.words("auth-worker pause s\t") == ["auth-worker", "pause", "sms.Queue-"]


def test_a_hostile_name_is_neither_inserted_nor_run(bash: Bash, redis_url: str) -> None:
    """Each alone begins with its number, so that a tabulator would insert it if it were offered."""
    tried = HOSTILE[:8]
    add_queues(redis_url, *HOSTILE, *(f"q{number}x{name}" for number, name in enumerate(tried)))
    for number in range(len(tried)):
        assert bash.words(f"auth-worker pause q{number}x\t") == ["auth-worker", "pause", f"q{number}x"]
    bash.words("auth-worker pause \t\t")
    assert not (bash.folder / CANARY).exists()


def test_what_is_typed_is_not_run_by_a_tabulator(bash: Bash, redis_url: str) -> None:
    add_queues(redis_url, "mailQueue")
    for begun, ended in (
        (f"'$(touch {CANARY})", "'"),
        (f'"a;touch {CANARY};', '"'),
        (f"a\\;touch\\ {CANARY}", ""),
    ):
        bash.words(f"auth-worker pause {begun}\t{ended}")
    assert not (bash.folder / CANARY).exists()


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
