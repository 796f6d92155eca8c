"""Starts and watches a service process from its parent; in the service process, watches the parent.

A child is given two descriptors when it starts: by the convention of systemd (LISTEN_FDS) the socket of its HTTP
port, and the end of a pipe whose other end the parent holds. When the pipe closes, the parent is gone, and the
child shuts down as at SIGTERM, also after kill -9 of the parent.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from auth_worker.http.listening_socket import GIVEN_DESCRIPTOR
from auth_worker.observability.logs.sink import share_streams

LIFELINE = GIVEN_DESCRIPTOR + 1
"""The descriptor of the pipe in a child."""


class Child:
    """The service process number ``number`` (from 1), which is started again under the same number.

    ``arguments`` are those of ``auth-worker``, ``environment`` is added to the parent's. ``address`` is the unix
    socket on which the process answers HTTP.
    """

    def __init__(
        self, number: int, arguments: Sequence[str], environment: Mapping[str, str], folder: Path
    ) -> None:
        self.number = number
        self.address = str(folder / str(number))
        self.started = 0
        """How often it was started."""
        self.has_answered = False
        """Whether the running process has answered a request."""
        self._arguments = arguments
        self._environment = environment
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.address)
        os.chmod(self.address, 0o600)  # nobody can connect before it listens
        self._listener.listen()
        self._pid: int | None = None
        self._since = 0.0

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._pid

    @property
    def age_s(self) -> float:
        """How long (s) the process that was started last has run."""
        return time.monotonic() - self._since

    async def run(self, lifeline: int) -> int:
        """Start the process and wait for its end. Returns its exit code, negative for a signal.

        ``lifeline`` is the pipe's end for the child, a descriptor above ``LIFELINE``. Raises ``OSError`` if no
        process can be started.
        """
        self.started += 1
        self.has_answered = False
        self._since = time.monotonic()
        command = [sys.executable, "-P", "-m", "auth_worker", *self._arguments, "--child", str(LIFELINE)]
        self._pid = pid = os.posix_spawn(  # noqa: ASYNC221 - it returns at once
            sys.executable,
            command,
            {**os.environ, **self._environment, "LISTEN_FDS": "1"},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, self._listener.fileno(), GIVEN_DESCRIPTOR),
                (os.POSIX_SPAWN_DUP2, lifeline, LIFELINE),
            ],
            setpgroup=0,  # Ctrl-C at a terminal is for the parent, which passes it on once
        )
        try:
            return await _end_of(pid)
        finally:
            self._pid = None

    def send(self, number: signal.Signals) -> None:
        """Send the signal to the process, if it runs."""
        if self._pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, number)

    def close(self) -> None:
        """Release the socket."""
        self._listener.close()


async def _end_of(pid: int) -> int:
    """Wait in a thread, since the event loop's own way differs by Python version, loop and platform."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[int] = loop.create_future()

    def tell(code: int) -> None:
        if not ended.done():
            ended.set_result(code)

    def wait() -> None:
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(tell, code)

    threading.Thread(target=wait, name=f"auth-worker-child-{pid}", daemon=True).start()
    return await ended


def join_parent(lifeline: str) -> None:
    """In the child: take over what the parent has passed. ``lifeline`` is the descriptor of the pipe."""
    os.environ["LISTEN_PID"] = str(os.getpid())  # the parent could not know it beforehand
    share_streams()
    watching = threading.Thread(
        target=_outlive_no_parent, args=(int(lifeline),), name="auth-worker-lifeline", daemon=True
    )
    watching.start()


def _outlive_no_parent(lifeline: int) -> None:
    os.set_inheritable(lifeline, False)
    while os.read(lifeline, 1):
        pass  # the parent writes nothing; the pipe ends with it
    os.kill(os.getpid(), signal.SIGTERM)
