"""What ``auth-worker run`` sets up because the environment asks for it: OpenTelemetry's SDK, and Sentry."""

from __future__ import annotations

from collections.abc import Callable

from auth_worker.config import Settings
from auth_worker.logs import logger_of
from auth_worker.messages import WORKER_ERRORS
from auth_worker.observers.sentry import is_sentry_asked_for, set_up_sentry
from auth_worker.telemetry.sdk import is_sdk_asked_for, set_up_sdk


def start_reporting(settings: Settings) -> None:
    """Set up what the environment asks for and the application, which is loaded by now, has not set up itself.

    Raises ``ConfigurationError`` for an exporter that is not installed.
    """
    if settings.telemetry is not False and is_sdk_asked_for():
        _set_up(set_up_sdk, "otel", settings)
    if settings.sentry != "off" and is_sentry_asked_for():
        _set_up(set_up_sentry, "sentry", settings)


def _set_up(call: Callable[[], None], extra: str, settings: Settings) -> None:
    try:
        call()
    except ModuleNotFoundError as error:
        logger_of(None, settings).warning(
            WORKER_ERRORS.EXTRA_MISSING, missing=error.name, remedy=f"pip install 'auth-worker[{extra}]'"
        )
