"""Writes each mail to a folder, for machines without a mail server."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import secrets
from email.message import EmailMessage
from pathlib import Path

from auth_worker.email.message import serialized
from auth_worker.errors import EmailDispatchError
from auth_worker.system.private_files import make_private_directories, open_private

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class OutboxEmailService:
    """Writes one ``.eml`` file per mail, readable only by its owner.

    The file is named after the Message-ID, so that a mail written twice is one file, and it appears whole or not
    at all. A missing folder is created with mode 0700; an existing one is left as it is.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self._closed = False

    def __repr__(self) -> str:
        return f"<OutboxEmailService {self.folder}>"

    async def send(self, message: EmailMessage) -> None:
        """Write the message, and return once it is on disk.

        Raises ``EmailDispatchError`` if the folder is not writable.
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
        """Raise ``EmailDispatchError`` unless the folder is writable, or can be created."""
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
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(20, "Not a directory")
    make_private_directories(folder)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(13, "Permission denied")


def _write(path: Path, content: bytes) -> None:
    _prepare(path.parent)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        with open(temporary, "xb", opener=open_private) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make the rename durable, which only syncing the folder does."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # Windows cannot open folders; elsewhere a folder may be writable but not readable
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
