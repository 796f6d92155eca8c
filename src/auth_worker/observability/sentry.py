"""The Sentry observer: reports failed jobs as issues, with the exception and its stack.

It is active if the application has initialised ``sentry_sdk``, which nothing else imports. Job data is never sent:
no local variables, and secrets in error texts are masked. An issue groups one kind of error of one queue and job
name; retried attempts (setting ``sentry`` = attempts) are warnings in the same issue.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from auth_worker.config import Settings
from auth_worker.core.error_text import error_text, related
from auth_worker.core.redaction import redact
from auth_worker.events import JobFailed, JobRetried


def open_sentry(settings: Settings) -> SentryReporter | None:
    """Return a reporter of failures. None if the application has not initialised Sentry, or the setting is off."""
    sdk = sys.modules.get("sentry_sdk")
    if settings.sentry == "off" or sdk is None or not sdk.is_initialized():
        return None
    return SentryReporter(sdk, attempts=settings.sentry == "attempts")


def is_sentry_asked_for() -> bool:
    """Whether the environment names a Sentry project, and the application has not initialised Sentry itself."""
    sdk = sys.modules.get("sentry_sdk")
    return bool(os.environ.get("SENTRY_DSN")) and not (sdk is not None and sdk.is_initialized())


def set_up_sentry() -> None:
    """Initialise Sentry from its own environment variables. Raises ``ModuleNotFoundError`` without its package."""
    import sentry_sdk

    sentry_sdk.init(include_local_variables=False)


class SentryReporter:
    """A failure hook that reports failed jobs to ``sdk``, and with ``attempts`` also retried ones."""

    def __init__(self, sdk: Any, *, attempts: bool) -> None:
        self._sdk = sdk
        self._attempts = attempts

    def __call__(self, failure: JobRetried | JobFailed) -> None:
        """Report ``failure``. Sentry sends it from a thread of its own."""
        final = isinstance(failure, JobFailed)
        if not (final or self._attempts):
            return
        event, hint = self._described(failure)
        event["level"] = "error" if final else "warning"
        event["transaction"] = f"process {failure.queue}"
        event["tags"] = _tags(failure)
        self._sdk.capture_event(event, hint)

    def _described(self, failure: JobRetried | JobFailed) -> tuple[dict[str, Any], dict[str, Any]]:
        if failure.error is None:
            reason_class = failure.reason_class if isinstance(failure, JobFailed) else ""
            return {"message": redact(failure.reason), "fingerprint": [failure.queue, reason_class]}, {}
        options = {**self._sdk.get_client().options, "include_local_variables": False}
        event, hint = self._sdk.utils.event_from_exception(
            failure.error, options, {"type": "auth_worker", "handled": True}
        )
        texts = {
            (type(error).__name__, self._sdk.utils.get_error_message(error)): redact(error_text(error))
            for error in related(failure.error)
        }
        for each in event["exception"]["values"]:
            each["value"] = texts.get((each.get("type"), each.get("value")), "***")
            for frame in (each.get("stacktrace") or {}).get("frames", ()):
                frame.pop("vars", None)
        event["fingerprint"] = ["{{ default }}", failure.queue, failure.job_name]
        return event, hint


def _tags(failure: JobRetried | JobFailed) -> dict[str, str]:
    tags = {
        "queue": failure.queue,
        "job_name": failure.job_name,
        "job_id": failure.job_id,
        "attempt": str(failure.attempt),
        "trace_id": failure.trace_id,
    }
    if isinstance(failure, JobFailed):
        tags |= {"reason_class": str(failure.reason_class), "dead_letter": failure.dead_letter_id}
    return {name: value for name, value in tags.items() if value}
