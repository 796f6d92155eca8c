"""The optional parts of the package, and the command that installs a missing one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from auth_worker.errors import MissingExtraError


def install_command(extra: str) -> str:
    """Return the command that installs ``extra``, an optional part of the package."""
    return f'pip install "auth-worker[{extra}]"'


@contextlib.contextmanager
def needs_extra(extra: str, what: str) -> Iterator[None]:
    """Import packages of ``extra`` within this, for ``what``, the subject of the message.

    Raises ``MissingExtraError`` where one is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == __name__.partition(".")[0]:
            raise
        raise MissingExtraError(
            f"{what} needs the package {error.name.partition('.')[0]}, which is not installed: "
            f"{install_command(extra)}",
            name=error.name,
        ) from None
