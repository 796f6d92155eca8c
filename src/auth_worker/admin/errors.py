"""Errors of requests that operations cannot carry out. The broker is in order."""

from __future__ import annotations

from auth_worker.errors import AuthWorkerError


class NotFoundError(AuthWorkerError):
    """No such queue, job or dead letter exists. The message names it."""

    retryable = False


class RefusedError(AuthWorkerError):
    """It exists, but its state does not permit the operation. The message says why."""

    retryable = False
