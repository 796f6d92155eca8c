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
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from support import program_client, program_server

PROGRAM = Path(sys.executable).with_name("auth-worker")
AT_IMPORT = ("PYTHON", "LANG", "LC_", "OTEL_", "SENTRY_", "FORCE_COLOR")
"""How variables begin that may count before a program runs: where they differ, Python itself is started."""
ENVIRONMENT = dict(os.environ)
"""In which the server is started."""
TEMPORARY = tempfile.gettempdir()
"""Where its folder is, also if the first test that needs it has a temporary folder of its own."""
IS_POSSIBLE = hasattr(os, "pidfd_open")
"""Whether the machine has what it needs: Linux has."""


class WarmProgram:
    """The command line in a process of its own. As ``subprocess.Popen``, as far as the tests need that."""

    def __init__(
        self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], streams: Sequence[int]
    ) -> None:
        self.returncode: int | None = None
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._server.connect(str(server_socket()))
        start = {"arguments": arguments, "folder": str(folder), "environment": dict(environment)}
        socket.send_fds(self._server, [json.dumps(start).encode()], streams)
        self.pid = int(self._server.recv(64))

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        if self.returncode is None and select.select([self._server], [], [], 0)[0]:
            self.returncode = int(self._server.recv(64))
            self._server.close()
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Return the exit code once it has ended. Raises ``TimeoutExpired`` after ``timeout`` s."""
        if self.returncode is None:
            select.select([self._server], [], [], timeout)
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
    return {name: value for name, value in environment.items() if name.startswith(AT_IMPORT)}


def install_program(folder: Path) -> None:
    """Put an ``auth-worker`` into ``folder``, for a shell whose PATH begins with it, that starts warm programs."""
    command = shlex.join([sys.executable, "-IS", program_client.__file__, str(server_socket())])
    program = folder / PROGRAM.name
    program.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    program.chmod(0o755)


@functools.cache
def server_socket() -> Path:
    """The path of the server's socket. The server is started once for all tests of this process."""
    folder = Path(tempfile.mkdtemp(prefix="aw-", dir=TEMPORARY))
    address = folder / "programs.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(address))
        listener.listen()
        process = subprocess.Popen(
            [sys.executable, program_server.__file__, str(listener.fileno()), str(PROGRAM)],
            cwd=PROGRAM.parent,
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=[listener.fileno()],
        )
    atexit.register(_end, process, folder)
    return address


def _end(server: subprocess.Popen[bytes], folder: Path) -> None:
    server.communicate(timeout=30)
    shutil.rmtree(folder)
