"""What an operation says when it cannot do as it was told; neither is a fault of the broker."""

from __future__ import annotations

from auth_worker.errors import AuthWorkerError


class NotFoundError(AuthWorkerError):
    """There is no such queue, job or letter; the message names it."""

    retryable = False


class RefusedError(AuthWorkerError):
    """It is there, but as things stand this cannot be done to it; the message says why."""

    retryable = False
