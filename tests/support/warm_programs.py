"""Starts the command line in a process of its own within milliseconds, by forking one that has it imported.

A start of Python that imports everything takes 0.5 s of CPU, and the tests need hundreds of starts. Whether the
installed program starts is shown by tests that run ``PROGRAM`` themselves: those of completion, standard streams,
and the documentation.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from support import program_server

PROGRAM = Path(sys.executable).with_name("auth-worker")
OF_A_START = ("PATH", "HOME", "TERM", "COLUMNS", "TMPDIR", "PYTEST_CURRENT_TEST")
"""Variables, besides the settings, that a program reads only when it runs. Others count when it is imported."""
ENVIRONMENT = dict(os.environ)
"""In which the server is started."""
IS_POSSIBLE = hasattr(os, "pidfd_open")
"""Whether the machine has what it needs: Linux has."""


class WarmProgram:
    """The command line in a process of its own. As ``subprocess.Popen``, as far as the tests need that."""

    def __init__(
        self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], streams: Sequence[int]
    ) -> None:
        self.returncode: int | None = None
        ours, theirs = os.pipe()
        start = {"arguments": arguments, "folder": str(folder), "environment": dict(environment)}
        try:
            socket.send_fds(_server(), [json.dumps(start).encode()], [*streams, theirs])
        finally:
            os.close(theirs)
        self._lines = os.fdopen(ours, "rb", buffering=0)
        self.pid = int(self._lines.readline())

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        if self.returncode is None and select.select([self._lines], [], [], 0)[0]:
            self.returncode = int(self._lines.readline())
            self._lines.close()
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Return the exit code once it has ended. Raises ``TimeoutExpired`` after ``timeout`` s."""
        if self.returncode is None:
            select.select([self._lines], [], [], timeout)
        if self.poll() is None:
            raise subprocess.TimeoutExpired("auth-worker", timeout)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it, unless it has ended."""
        self.send_signal(signal.SIGKILL)


def start_program(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str], streams: Sequence[int]
) -> WarmProgram | subprocess.Popen[bytes]:
    """Start the command line in ``folder``; ``streams`` are its stdin, stdout and stderr."""
    if IS_POSSIBLE and _of_imports(environment) == _of_imports(ENVIRONMENT):
        return WarmProgram(arguments, folder, environment, streams)
    stdin, stdout, stderr = streams
    return subprocess.Popen(
        [str(PROGRAM), *arguments], cwd=folder, env=environment, stdin=stdin, stdout=stdout, stderr=stderr
    )


def _of_imports(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that may count when the program is imported."""
    return {
        name: value
        for name, value in environment.items()
        if name not in OF_A_START and not name.startswith("AUTH_WORKER_")
    }


@functools.cache
def _server() -> socket.socket:
    """The socket of the server, which is started once for all tests of this process."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        command = [sys.executable, program_server.__file__, str(theirs.fileno()), str(PROGRAM)]
        process = subprocess.Popen(
            command,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )
    atexit.register(_end, ours, process)
    return ours


def _end(server: socket.socket, process: subprocess.Popen[bytes]) -> None:
    server.close()
    process.wait(30)
