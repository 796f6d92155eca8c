"""OutboxEmailService: writes each mail to a folder, for machines without a mail server."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import secrets
from email.message import EmailMessage
from pathlib import Path

from auth_worker.email.message import serialized
from auth_worker.errors import EmailDispatchError

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class OutboxEmailService:
    """One ``.eml`` file a mail, readable by its owner only.

    The file's name comes from the Message-ID, so that a mail written twice is one file, and the file appears
    whole or not at all. A folder that does not exist is created with mode 0700; any other is left as it is.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self._closed = False

    def __repr__(self) -> str:
        return f"<OutboxEmailService {self.folder}>"

    async def send(self, message: EmailMessage) -> None:
        """Write the message, and return once it is on the disk.

        Raises ``EmailDispatchError`` when the folder cannot be written to.
        """
        if self._closed:
            raise EmailDispatchError("The outbox is closed")
        content = serialized(message)
        path = self.folder / _file_name(str(message["Message-ID"] or ""), content)
        try:
            await asyncio.to_thread(_write, path, content)
        except OSError as error:
            raise EmailDispatchError(_remedy(self.folder, error), error) from error

    async def check(self) -> None:
        """Raise ``EmailDispatchError`` unless the folder exists or can be made, and can be written to."""
        try:
            await asyncio.to_thread(_prepare, self.folder)
        except OSError as error:
            raise EmailDispatchError(_remedy(self.folder, error), error) from error

    async def close(self) -> None:
        """Refuse further mails."""
        self._closed = True


def _remedy(folder: Path, error: OSError) -> str:
    reason = error.strerror or type(error).__name__
    return f"The outbox {folder} cannot be written to ({reason}): choose another with AUTH_WORKER_OUTBOX_DIR"


def _file_name(message_id: str, content: bytes) -> str:
    local = message_id.strip().strip("<>").partition("@")[0]
    if _SAFE_NAME.fullmatch(local):
        return f"{local}.eml"
    return f"{hashlib.sha256(message_id.encode(errors='replace') or content).hexdigest()[:32]}.eml"


def _prepare(folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    if not folder.is_dir():
        raise NotADirectoryError(20, "Not a directory")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(13, "Permission denied")


def _write(path: Path, content: bytes) -> None:
    _prepare(path.parent)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable; only the folder's own sync does that."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
