"""The daemon of the embedded broker: a small process that lives exactly as long as the broker has users.

::

    user  user  user      each holds users.lock shared (see broker.py)
             |
           daemon         holds keeper.lock; exits once it can hold users.lock alone
             |
        valkey-server     holds server.lock, inherited from the daemon

Only kernel locks (flock) tell who is alive: they end with their process, even at kill -9, and no process id is
trusted that another process may have by now. The daemon starts the server, restarts it when it crashes, and stops
it once the last user has left. It holds users.lock until it exits, so that a user who arrives meanwhile waits, and
then starts a new one. When the daemon itself is killed, the kernel asks the server to end (Linux), and a user that
is still there starts a new daemon; elsewhere the next user ends the orphan.

This file is run as a script and imports the standard library only, which keeps the process small.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Self

try:
    import fcntl
    import resource
except ImportError:  # Windows, where broker.py refuses to start
    CAN_LOCK = False
else:
    CAN_LOCK = True

TICK = 0.1
"""How often (s) the daemon checks its users and its server."""
STOP_TIMEOUT = 20.0
"""How long (s) a server may take to write its data and exit before it is killed."""
_MAX_BACKOFF = 30.0
_STABLE_AFTER = 60.0
_PR_SET_PDEATHSIG = 1


class FileLock:
    """A lock that the kernel holds for the process that took it, until it closes the file or exits."""

    _all: ClassVar[weakref.WeakSet[FileLock]] = weakref.WeakSet()

    def __init__(self, path: Path) -> None:
        """Open the file, creating it if necessary. Raises ``OSError``."""
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.fchmod(self.fd, 0o600)  # whatever the umask is
        self._all.add(self)

    def take(self, *, shared: bool = False) -> bool:
        """Take the lock, or change its mode, if possible at once. Returns False if it is not held then."""
        try:
            fcntl.flock(self.fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Release the lock. A process that inherited it on purpose keeps it. Does nothing when closed."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    @property
    def closed(self) -> bool:
        """Whether this process has released the lock."""
        return self.fd < 0

    @classmethod
    def close_all(cls) -> None:
        """Close all locks of this process. For a forked child, which would otherwise hold its parent's."""
        for lock in list(cls._all):
            lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class Place:
    """The paths of the broker's files in ``directory``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.start_lock = directory / "start.lock"
        self.users_lock = directory / "users.lock"
        self.daemon_lock = directory / "keeper.lock"
        self.server_lock = directory / "server.lock"
        self.log = directory / "broker.log"
        self.data = directory / "data"


def ask(socket_path: str, command: str, timeout: float = 1.0) -> bytes:
    """Return the first packet of the server's reply to an inline command. Raises ``OSError``."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        connection.connect(socket_path)
        connection.sendall(command.encode() + b"\r\n")
        return connection.recv(65536)


def answers(socket_path: str, timeout: float = 1.0) -> bool:
    """Whether the server is up and has loaded its data. False too if it does not answer within ``timeout`` s."""
    try:
        return ask(socket_path, "PING", timeout).startswith(b"+PONG")
    except OSError:
        return False


def drop_zeroed_tail(data: Path) -> int:
    """Remove zero bytes from the end of the newest AOF file, and return how many there were.

    A power loss can leave blocks that were never written. The server copes with a truncated last command
    (aof-load-truncated), but not with zeroes after it. A complete command ends in CR LF, so none is lost.
    """
    files = sorted(data.glob("appendonlydir/*.incr.aof"), key=lambda path: (len(path.name), path.name))
    if not files:
        return 0
    with files[-1].open("r+b") as file:
        size = end = file.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - 65536)
            file.seek(start)
            kept = file.read(end - start).rstrip(b"\0")
            end = start + len(kept)
            if kept:
                break
        if end < size:
            file.truncate(end)
    return size - end


class Daemon:
    """Runs one server while it has users. ``port`` is 0 for none."""

    def __init__(self, place: Place, *, socket_path: str, port: int, binary: str) -> None:
        self._place = place
        self._socket_path = socket_path
        self._port = port
        self._binary = binary
        self._server: subprocess.Popen[bytes] | None = None
        self._was_ready = False
        self._started_at = 0.0
        self._next_start = 0.0
        self._backoff = 0.0

    def run(self) -> int:
        """Run until the last user has left. Returns the exit code: 1 if the server never got ready."""
        with FileLock(self._place.server_lock) as server_lock, FileLock(self._place.users_lock) as users:
            if not server_lock.take():
                return self._give_up("another server still uses the data")
            while not users.take():
                if self._server is None:
                    self._start_when_due(server_lock)
                elif self._server.poll() is not None:
                    code = self._server.returncode
                    if code > 0 and not self._was_ready:
                        return self._give_up(f"the server ended with exit code {code} before it was ready")
                    self._note_end(code)
                elif not self._was_ready:
                    self._was_ready = answers(self._socket_path)
                time.sleep(TICK)
            self._log("no users left, stopping the server")
            self._stop()
            if Path(self._socket_path).parent != self._place.directory:
                with contextlib.suppress(OSError):
                    Path(self._socket_path).parent.rmdir()
        return 0

    def _start_when_due(self, server_lock: FileLock) -> None:
        if time.monotonic() < self._next_start:
            return
        if dropped := drop_zeroed_tail(self._place.data):
            self._log(f"dropped {dropped} zero bytes from the end of the AOF, left by a power loss")
        self._server = subprocess.Popen(  # noqa: S603 - our own program
            self._command(),
            stdin=subprocess.DEVNULL,
            cwd=self._place.directory,
            pass_fds=(server_lock.fd,),
            preexec_fn=_ending_with_parent(),  # noqa: PLW1509 - safe: this process has one thread
        )
        self._started_at = time.monotonic()

    def _command(self) -> list[str]:
        directives = {
            "port": str(self._port),
            "bind": "127.0.0.1",
            "unixsocket": self._socket_path,
            "unixsocketperm": "600",
            "dir": str(self._place.data),
            "save": "",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "aof-load-truncated": "yes",
            "maxmemory-policy": "noeviction",
            "shutdown-on-sigterm": "force",
        }
        return [self._binary, *(word for name, value in directives.items() for word in (f"--{name}", value))]

    def _note_end(self, code: int) -> None:
        self._server = None
        if time.monotonic() - self._started_at > _STABLE_AFTER:
            self._backoff = 0.0
        self._log(f"the server ended by itself (exit code {code}), next start in {self._backoff:g} s")
        self._next_start = time.monotonic() + self._backoff
        self._backoff = min(max(TICK, 2 * self._backoff), _MAX_BACKOFF)

    def _stop(self) -> None:
        if self._server is None:
            return
        self._server.send_signal(signal.SIGTERM)
        self._server.send_signal(signal.SIGCONT)
        try:
            self._server.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._log(f"the server did not end within {STOP_TIMEOUT:g} s and is killed")
            self._server.kill()
            self._server.wait()

    def _give_up(self, reason: str) -> int:
        self._log(f"giving up: {reason}")
        return 1

    def _log(self, text: str) -> None:
        print(f"{os.getpid()}:K {time.strftime('%d %b %Y %H:%M:%S')} # daemon: {text}", flush=True)


def _ending_with_parent() -> Callable[[], None] | None:
    """Return what a child runs before the server: it asks the kernel for a SIGTERM when its parent dies."""
    if sys.platform != "linux":
        return None
    try:
        import ctypes

        prctl = ctypes.CDLL(None).prctl
    except (ImportError, OSError, AttributeError):
        return None
    parent = os.getpid()

    def ask_the_kernel() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return ask_the_kernel


def main(arguments: list[str]) -> int:
    """Run a daemon in the background: ``daemon.py DIRECTORY DAEMON_LOCK_FD SOCKET PORT BINARY``.

    The foreground process exits at once, so that no user is the daemon's parent and has to reap it. SIGTERM is
    ignored: systemd sends it to all processes of a service, whose users still need the broker then.
    """
    directory, lock_fd, socket_path, port, binary = arguments
    if os.fork():
        os._exit(0)
    os.set_inheritable(int(lock_fd), False)
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold the data of jobs
    signal.pthread_sigmask(signal.SIG_SETMASK, [])  # the user may have blocked signals in the thread it used
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # not SIG_IGN, which the server would inherit
    daemon = Daemon(Place(Path(directory)), socket_path=socket_path, port=int(port), binary=binary)
    return daemon.run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
