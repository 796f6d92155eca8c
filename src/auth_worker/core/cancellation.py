"""Checks the reason of a request to cancel a job, and reads it back from the job's failure."""

from __future__ import annotations

from auth_worker.errors import JOB_CANCELLED, ConfigurationError

LONGEST_REASON = 500


def check_reason(reason: str) -> str:
    """Return ``reason`` on one line. Raises ``ConfigurationError`` if it is not a text, or too long."""
    if not isinstance(reason, str) or len(reason) > LONGEST_REASON:
        raise ConfigurationError(f"reason must be text of at most {LONGEST_REASON} characters")
    return " ".join(reason.encode(errors="replace").decode().split())


def given_reason(text: str) -> str:
    """Return the reason that was given with a request, from the ``text`` of a ``JobCancelledError``."""
    return text.removeprefix(JOB_CANCELLED).removeprefix(": ")
