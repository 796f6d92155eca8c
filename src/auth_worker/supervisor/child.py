"""A service process, as its parent sees it; and the parent, as the service process sees it.

What they share is given to the child when it is started: a listening socket, on which it opens its HTTP port, and
the end of a pipe whose other end the parent holds. When that closes, the parent is gone, and the child stops as at
SIGTERM, also after kill -9 of the parent.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from auth_worker.admin.port import serve_on
from auth_worker.logs.sink import share_streams


class Child:
    """The service process number ``number`` (from 1), started again and again under the same number.

    ``arguments`` are those of ``auth-worker``, ``environment`` is added to the parent's. ``address`` is the unix
    socket on which the running one answers HTTP.
    """

    def __init__(
        self, number: int, arguments: Sequence[str], environment: Mapping[str, str], folder: Path
    ) -> None:
        self.number = number
        self.address = str(folder / str(number))
        self.started = 0
        """How often it was started."""
        self.has_answered = False
        """Whether the process that runs has answered a request: it has come so far."""
        self._arguments = arguments
        self._environment = environment
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.address)
        os.chmod(self.address, 0o600)  # nobody can connect before it listens
        self._listener.listen()
        self._process: subprocess.Popen[bytes] | None = None
        self._since = 0.0

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process is not None else None

    @property
    def age_s(self) -> float:
        """For how long (s) the process has run that was started last."""
        return time.monotonic() - self._since

    async def run(self, lifeline: int) -> int:
        """Start the process and wait for its end; returns its exit code, negative for a signal.

        ``lifeline`` is the pipe's end for the child. Raises ``OSError`` where no process can be started.
        """
        self.started += 1
        self.has_answered = False
        self._since = time.monotonic()
        command = [sys.executable, "-P", "-m", "auth_worker", *self._arguments]
        self._process = process = subprocess.Popen(  # noqa: S603, ASYNC220 - our own program
            [*command, "--child", f"{self._listener.fileno()},{lifeline}"],
            env={**os.environ, **self._environment},
            pass_fds=(self._listener.fileno(), lifeline),
            stdin=subprocess.DEVNULL,
            process_group=0,  # Ctrl-C at a terminal is for the parent, which passes it on once
        )
        try:
            return await _end_of(process)
        finally:
            self._process = None

    def send(self, number: signal.Signals) -> None:
        """Send the signal to the process, if it runs."""
        if self._process is not None:
            self._process.send_signal(number)

    def close(self) -> None:
        """Give up the socket."""
        self._listener.close()


async def _end_of(process: subprocess.Popen[bytes]) -> int:
    """A thread waits: an event loop's own way differs by Python version, loop and platform."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[int] = loop.create_future()

    def tell(code: int) -> None:
        if not ended.done():
            ended.set_result(code)

    def wait() -> None:
        code = process.wait()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(tell, code)

    threading.Thread(target=wait, name=f"auth-worker-child-{process.pid}", daemon=True).start()
    return await ended


def join_parent(descriptors: str) -> None:
    """In the child: take what the parent has given; ``descriptors`` as ``Child.run`` writes them."""
    listener, lifeline = map(int, descriptors.split(","))
    serve_on(socket.socket(fileno=listener))
    share_streams()
    threading.Thread(target=_outlive_no_parent, args=(lifeline,), name="auth-worker-lifeline", daemon=True).start()


def _outlive_no_parent(lifeline: int) -> None:
    os.set_inheritable(lifeline, False)
    while os.read(lifeline, 1):
        """The parent writes nothing."""
    os.kill(os.getpid(), signal.SIGTERM)
