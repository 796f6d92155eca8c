"""Runs the command line as a user does, in processes of its own, or in this process."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import tempfile
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest

from auth_worker.cli import main
from support.polling import wait_until
from support.warm_programs import start_program

Run = Callable[..., tuple[int, str, str]]
"""Runs a command in this process and returns exit code, stdout and stderr."""


def environment(**settings: str) -> dict[str, str]:
    """The environment without settings of the service, so that only those of the test are set."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("AUTH_WORKER_")}
    return ours | {f"AUTH_WORKER_{name.upper()}": value for name, value in settings.items()}


def run_program(folder: Path, *arguments: object, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the program in ``folder`` to its end."""
    texts = list(map(str, arguments))
    with open(os.devnull) as stdin, tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        streams = (stdin.fileno(), stdout.fileno(), stderr.fileno())
        process = start_program(texts, folder, environment(**settings), streams)
        try:
            code = process.wait(50)
        finally:
            process.kill()
        stdout.seek(0)
        stderr.seek(0)
        return subprocess.CompletedProcess(texts, code, stdout.read().decode(), stderr.read().decode())


def run_here(*arguments: object) -> int:
    """Run the command line in this process and return the exit code."""
    with pytest.raises(SystemExit) as ending:
        main([str(argument) for argument in arguments])
    return int(ending.value.code or 0)


class Worker:
    """``auth-worker run`` in a process of its own, in ``folder``."""

    def __init__(self, folder: Path, *arguments: object, ready: str = "Worker ready", **settings: str) -> None:
        self.log = folder / f"worker-{len(list(folder.glob('worker-*')))}.log"
        with open(os.devnull) as stdin, self.log.open("w") as log:
            streams = (stdin.fileno(), log.fileno(), log.fileno())
            self.process = start_program(["run", *map(str, arguments)], folder, environment(**settings), streams)
        wait_until(lambda: ready in self.output or self.process.poll() is not None, "the worker says nothing", 60)
        assert ready in self.output, self.output

    @property
    def output(self) -> str:
        """Everything the process has written so far."""
        return self.log.read_text()

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(30)

    def kill(self) -> None:
        """Kill the process."""
        self.process.kill()
        self.process.wait(30)


class Terminal:
    """The program in ``folder`` at a terminal."""

    def __init__(self, folder: Path, *arguments: object, columns: int = 100, **settings: str) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        variables = environment(**settings) | {"TERM": "xterm"}
        self.process = start_program([*map(str, arguments)], folder, variables, (theirs, theirs, theirs))
        os.close(theirs)
        self.screen = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.process.kill()
        self.process.wait(30)
        os.close(self._ours)

    def shows(self, text: str, within: float = 30) -> None:
        """Wait until ``text`` has appeared."""
        deadline = time.monotonic() + within
        while text not in self.screen:
            assert self._read(deadline), f"no {text!r} in:\n{self.screen}"

    def end(self, number: signal.Signals | None = None, within: float = 30) -> int:
        """Send the signal, if one is given, and return the exit code once the process has ended."""
        if number is not None:
            self.process.send_signal(number)
        deadline = time.monotonic() + within
        while self._read(deadline):
            pass
        return self.process.wait(max(deadline - time.monotonic(), 0))

    def _read(self, deadline: float) -> bool:
        if not select.select([self._ours], [], [], max(deadline - time.monotonic(), 0))[0]:
            return False
        try:
            data = os.read(self._ours, 65536)
        except OSError:  # so Linux says that the other end is closed
            return False
        self.screen += re.sub("\x1b\\[[0-9;?]*[A-Za-z]", "", data.decode(errors="replace")).replace("\r\n", "\n")
        return bool(data)


def magic_link(email: str) -> dict[str, Any]:
    """The data of an e-mail job."""
    data = {"email": email, "name": "Ada", "magicLink": "https://acme.example/sign-in/c0de"}
    return {"type": "sendMagicLinkEmail", "data": data}
