"""Interactive shells at a terminal, after ``auth-worker --install-completion``; and hostile names of queues."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import redis

from support.command_line import environment
from support.needed import skip_or_fail
from support.warm_programs import IS_POSSIBLE, PROGRAM, install_program

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
    f"(touch {CANARY})",
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
PROMPT = "ready>"
RECORD = """#!/bin/sh
number=$1
shift
printf '%s\\n' "$@" >"words-$number.part"
mv "words-$number.part" "words-$number"
echo "recorded-$number"
"""
SETUPS = {
    "bash": (".bashrc", f"PS1='{PROMPT}'\n"),
    "zsh": (".zshrc", f"PS1='{PROMPT}'\nunsetopt PROMPT_SP\n"),
    "fish": (
        ".config/fish/config.fish",
        f"function fish_prompt; echo -n '{PROMPT}'; end\n"
        "set -g fish_greeting\nset -g fish_autosuggestion_enabled 0\n",
    ),
}
"""Where each shell reads what it does at its start, and what is added there."""
STATUS = {"bash": "$?", "zsh": "$?", "fish": "$status"}
ARGUMENTS = {"bash": ("--noprofile",), "zsh": ("-d",), "fish": ()}
AT_TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""
"""Runs its arguments at the terminal that is its stdin, as fish insists."""
READY_S = 60.0


class Shell:
    """An interactive shell of that name in ``folder``, its home. Where it is missing, a test fails in CI, and is
    skipped elsewhere."""

    def __init__(self, name: str, folder: Path, redis_url: str) -> None:
        if shutil.which(name) is None:
            skip_or_fail(f"the tests of completion need {name} on the PATH", f"apt-get install {name}")
        self.name = name
        self.folder = folder
        self._count = 0
        self._screen = ""
        (folder / "record").write_text(RECORD)
        (folder / "record").chmod(0o755)
        ours = {
            key: value
            for key, value in environment(redis_url=redis_url).items()
            if not key.startswith("XDG_") and key not in ("EDITOR", "VISUAL", "ZDOTDIR")
        }
        path = f"{folder}:{PROGRAM.parent}:{os.environ['PATH']}"
        self._environment = ours | {"HOME": str(folder), "PATH": path, "TERM": "xterm"}
        self._install(name)
        if IS_POSSIBLE:
            install_program(folder)  # of its completions each is a start
        self._terminal, theirs = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-c", AT_TERMINAL, name, *ARGUMENTS[name], "-i"],
            cwd=folder,
            env=self._environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)

    def __enter__(self) -> Self:
        self._until(PROMPT)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.kill()
        self._process.wait(30)
        os.close(self._terminal)

    def words(self, typed: str) -> list[str]:
        """The words of the line after ``typed``, in which tabulators complete, as the shell would run it."""
        self._count += 1
        os.write(self._terminal, f"{typed}\x01record {self._count} \r".encode())
        self._until(f"recorded-{self._count}", PROMPT)
        return (self.folder / f"words-{self._count}").read_text().splitlines()

    def _install(self, name: str) -> None:
        file, setup = SETUPS[name]
        place = self.folder / file
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(setup)
        installed = subprocess.run(
            [name, "-c", f"auth-worker --install-completion; exit {STATUS[name]}"],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            timeout=50,
            check=False,
        )
        assert installed.returncode == 0, installed.stderr

    def _until(self, *texts: str) -> None:
        """Wait until these have appeared on the screen, one after another."""
        deadline = time.monotonic() + READY_S
        wanted = re.compile(".*?".join(map(re.escape, texts)), re.DOTALL)
        while (found := wanted.search(self._screen)) is None:
            ready, _, _ = select.select([self._terminal], [], [], max(deadline - time.monotonic(), 0))
            assert ready, f"the shell does not answer: {self._screen!r}"
            self._screen += os.read(self._terminal, 65536).decode(errors="replace")
        self._screen = self._screen[found.end() :]


def add_queues(redis_url: str, *names: str) -> None:
    """Queues of these names with a job each, as whoever may write to Redis makes them."""
    with redis.Redis.from_url(redis_url) as client:
        for name in names:
            client.hset(f"bull:{name}:meta", "opts.maxLenEvents", 10_000)
            client.hset(f"bull:{name}:1", mapping={"name": "job", "data": "{}", "opts": "{}", "timestamp": 1})
            client.lpush(f"bull:{name}:wait", "1")
