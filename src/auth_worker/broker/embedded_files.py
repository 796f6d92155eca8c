"""The embedded broker's directory: private to its user, with a socket of bearable length, and no orphans."""

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

from auth_worker.broker.keeper import STOP_TIMEOUT, FileLock, Place
from auth_worker.errors import BrokerUnavailableError, ConfigurationError

REMEDY = "choose another directory (AUTH_WORKER_STATE_DIR), or name a Redis (AUTH_WORKER_REDIS_URL)"
_POLL = 0.01
_MAX_SOCKET_PATH = 103  # bytes; the kernel's limit less the closing zero is 107 on Linux, 103 on macOS
_SOCKET_DIRECTORY_PREFIX = "auth-worker-"


def make_private_directory(place: Place) -> None:
    """Make the broker's directory, mode 0700. Raises ``ConfigurationError`` if it is another user's."""
    if not place.directory.parent.exists():
        place.directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The jobs in it are nobody's business, least of all a repository's.
        (place.directory.parent / ".gitignore").write_text("*\n")
    place.directory.mkdir(mode=0o700, exist_ok=True)
    owner = place.directory.stat().st_uid
    if owner != os.geteuid():
        raise ConfigurationError(
            f"state_dir {place.directory} belongs to user id {owner}, this process runs as {os.geteuid()}; "
            f"run it as that user, or {REMEDY}"
        )
    place.directory.chmod(0o700)
    place.data.mkdir(mode=0o700, exist_ok=True)


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
    """Return where the socket is: in ``directory``, or, where that path is too long, in a short one.

    The short one is a private directory among the temporary files; its name is kept, so that all agree on it.
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
        record.write_text(str(kept))
    return str(kept / "broker.sock")


def _is_private(directory: Path) -> bool:
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    found = directory.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077


def end_orphan(place: Place, socket_path: str) -> None:
    """End a server whose keeper was killed. The caller holds the keeper lock, so there is no keeper.

    Raises ``BrokerUnavailableError`` if it does not end.
    """
    with FileLock(place.server_lock) as lock:
        asked = time.monotonic()
        sent: signal.Signals | None = None
        while not lock.take():
            waited = time.monotonic() - asked
            if waited > STOP_TIMEOUT + 5:
                raise BrokerUnavailableError(f"a server without a keeper holds {place.server_lock}: end it")
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
