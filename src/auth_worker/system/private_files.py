"""Creates files and directories that only their owner can read, whatever the umask. Windows ignores such modes."""

from __future__ import annotations

import os
from pathlib import Path

DIRECTORY, FILE = 0o700, 0o600


def make_private_directories(path: Path) -> bool:
    """Create the directory ``path`` and its missing parents, mode 0700. Returns whether it was missing.

    Existing directories keep their mode. Raises ``OSError``, also if ``path`` is not a directory.
    """
    if path.is_dir():
        return False
    if not path.parent.exists():
        make_private_directories(path.parent)
    try:
        path.mkdir(mode=DIRECTORY)
    except FileExistsError:  # another process was faster, or it is not a directory
        if not path.is_dir():
            raise
        return False
    path.chmod(DIRECTORY)  # the umask may have restricted its owner
    return True


def open_private(path: str | os.PathLike[str], flags: int) -> int:
    """Open ``path`` with mode 0600, even if it exists: an ``opener`` for ``open``. Raises ``OSError``."""
    descriptor = os.open(path, flags, FILE)
    if hasattr(os, "fchmod"):
        os.fchmod(descriptor, FILE)
    return descriptor


def write_private(path: Path, text: str) -> None:
    """Write ``text`` to ``path``, mode 0600. Raises ``OSError``."""
    with open(path, "w", encoding="utf-8", opener=open_private) as file:
        file.write(text)
