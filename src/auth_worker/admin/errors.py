"""What an operation says when it cannot do as it was told; neither is a fault of the broker."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from auth_worker.errors import AuthWorkerError


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message that there is no ``name``: which one of ``known`` may be meant; or nothing."""
    found = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {found[0]}?" if found else ""


class NotFoundError(AuthWorkerError):
    """There is no such queue, job or letter; the message names it."""

    retryable = False


class RefusedError(AuthWorkerError):
    """It is there, but as things stand this cannot be done to it; the message says why."""

    retryable = False
