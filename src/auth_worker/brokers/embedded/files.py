"""Manages the embedded broker's directory: private, with a short socket path, and without orphaned servers."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import struct
import sys
import tempfile
import time
from pathlib import Path

from auth_worker.brokers.embedded.daemon import STOP_TIMEOUT, FileLock, Place
from auth_worker.errors import BrokerUnavailableError, ConfigurationError
from auth_worker.system.private_files import make_private_directories, write_private

REMEDY = "choose another directory (AUTH_WORKER_STATE_DIR), or use a Redis server (AUTH_WORKER_REDIS_URL)"
_POLL = 0.01
_MAX_SOCKET_PATH = 103  # bytes; the kernel's limit less the closing zero is 107 on Linux, 103 on macOS
_SOCKET_DIRECTORY_PREFIX = "auth-worker-"


def make_private_directory(place: Place) -> None:
    """Create the broker's directory, mode 0700. Raises ``ConfigurationError`` if it belongs to another user."""
    if make_private_directories(place.directory.parent):
        # The jobs in it are private, and must not be committed to a repository either.
        write_private(place.directory.parent / ".gitignore", "*\n")
    make_private_directories(place.directory)
    owner = place.directory.stat().st_uid
    if owner != os.geteuid():
        raise ConfigurationError(
            f"state_dir {place.directory} belongs to user id {owner}, this process runs as {os.geteuid()}; "
            f"run it as that user, or {REMEDY}"
        )
    place.directory.chmod(0o700)
    make_private_directories(place.data)


def wait_for(path: Path, deadline: float, *, shared: bool = False) -> FileLock:
    """Take the lock on the file, or raise ``BrokerUnavailableError`` at ``deadline`` (monotonic s)."""
    lock = FileLock(path)
    try:
        while not lock.take(shared=shared):
            if time.monotonic() > deadline:
                raise BrokerUnavailableError(
                    f"the embedded broker is being started or stopped by another process, which holds {path}"
                )
            time.sleep(_POLL)
    except BaseException:
        lock.close()
        raise
    return lock


def socket_path_in(directory: Path) -> str:
    """Return the path of the socket: in ``directory``, or, if that path is too long, in a short one.

    The short one is a private directory among the temporary files. Its name is stored, so that all users agree on
    it.
    """
    direct = directory / "broker.sock"
    if len(os.fsencode(direct)) <= _MAX_SOCKET_PATH:
        return str(direct)
    record = directory / "socket-directory"
    kept = Path(record.read_text()) if record.exists() else None
    if kept is None or not kept.name.startswith(_SOCKET_DIRECTORY_PREFIX) or not _is_private(kept):
        base = tempfile.gettempdir()
        kept = Path(
            tempfile.mkdtemp(prefix=_SOCKET_DIRECTORY_PREFIX, dir=base if len(base) <= 60 else "/tmp")  # noqa: S108
        )
        kept.chmod(0o700)
        write_private(record, str(kept))
    return str(kept / "broker.sock")


def _is_private(directory: Path) -> bool:
    with contextlib.suppress(FileExistsError):
        make_private_directories(directory)
    found = directory.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077


def end_orphan(place: Place, socket_path: str) -> None:
    """End a server whose daemon was killed. The caller holds the daemon lock, so there is no daemon.

    Raises ``BrokerUnavailableError`` if the server does not end.
    """
    with FileLock(place.server_lock) as lock:
        asked = time.monotonic()
        sent: signal.Signals | None = None
        while not lock.take():
            waited = time.monotonic() - asked
            if waited > STOP_TIMEOUT + 5:
                raise BrokerUnavailableError(f"a server without a daemon holds {place.server_lock}: end it")
            wanted = signal.SIGKILL if waited > STOP_TIMEOUT else signal.SIGTERM
            pid = _listener(socket_path) if sent is not wanted else 0
            if pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, wanted)
                sent = wanted
            time.sleep(_POLL)


def _listener(socket_path: str) -> int:
    """Return the id of the process that listens on the socket, as the kernel knows it; 0 if there is none."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1)
        try:
            connection.connect(socket_path)
            if sys.platform == "linux":
                credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
                return int(struct.unpack("3i", credentials)[0])
            return int(connection.getsockopt(0, 2))  # macOS: SOL_LOCAL, LOCAL_PEERPID
        except OSError:
            return 0
