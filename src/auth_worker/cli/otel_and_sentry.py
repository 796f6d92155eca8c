"""Sets up OpenTelemetry's SDK and Sentry for ``auth-worker run`` if the environment asks for them."""

from __future__ import annotations

from collections.abc import Callable

from auth_worker.config import Settings
from auth_worker.core.extras import install_command
from auth_worker.messages import WORKER_ERRORS
from auth_worker.observability.logs import logger_of
from auth_worker.observability.sentry import is_sentry_asked_for, set_up_sentry
from auth_worker.observability.telemetry.sdk import is_sdk_asked_for, set_up_sdk


def set_up_otel_and_sentry(settings: Settings) -> None:
    """Set up what the environment asks for, unless the application, which is already loaded, has done so.

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
            WORKER_ERRORS.EXTRA_MISSING, missing=error.name, remedy=install_command(extra)
        )
