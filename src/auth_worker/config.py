"""Names, defaults and settings. ``Settings`` is the only reader of the environment and of ``auth-worker.toml``.

Times of ``WorkerConfig`` are milliseconds, as in BullMQ; those of ``Settings`` are seconds, as operators write
them.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator, model_validator

from auth_worker.core.alert_settings import AlertSettings
from auth_worker.core.config_errors import configuration_error
from auth_worker.core.environment import config_file, merge, read_environment, read_file
from auth_worker.core.names import PREFIX
from auth_worker.core.setting_types import Count, HttpToken, Seconds, Secret, Stripped, TokenName, setting
from auth_worker.core.worker_config import (
    WORKER_CONFIG,
    Backoff,
    Limiter,
    LogLevel,
    QueueMetricsConfig,
    Retention,
    Whole,
    WorkerConfig,
)

__all__ = [
    "EMAIL_JOB_TYPES",
    "QUEUE_NAMES",
    "SMS_JOB_TYPES",
    "WORKER_CONFIG",
    "Backoff",
    "EmailJobType",
    "HttpToken",
    "Limiter",
    "QueueMetricsConfig",
    "QueueName",
    "Retention",
    "Settings",
    "SmsJobType",
    "WorkerConfig",
]


class QueueName(StrEnum):
    """The queues of the authentication service."""

    EMAIL = "emailQueue"
    EMAIL_DEAD_LETTER = "emailDeadLetter"
    SMS = "smsQueue"
    SMS_DEAD_LETTER = "smsDeadLetter"


class EmailJobType(StrEnum):
    """The types of e-mail jobs: the ``name`` of the job, and the ``type`` in its data."""

    SEND_VERIFICATION_EMAIL = "sendVerificationEmail"
    SEND_PASSWORD_RESET_EMAIL = "sendPasswordResetEmail"  # noqa: S105 - a job type, not a password
    SEND_MAGIC_LINK_EMAIL = "sendMagicLinkEmail"
    SEND_ONE_TIME_CODE_EMAIL = "sendOneTimeCodeEmail"


class SmsJobType(StrEnum):
    """The types of SMS jobs."""

    SEND_OTP = "sendOtp"


QUEUE_NAMES = QueueName
EMAIL_JOB_TYPES = EmailJobType
SMS_JOB_TYPES = SmsJobType


class Settings(BaseModel):
    """What an operator sets: flags > environment ``AUTH_WORKER_*`` > ``auth-worker.toml`` > defaults.

    Times are seconds. Settings are read when a ``Settings`` is created and do not change afterwards: a variable
    that the application sets later, such as in ``init_services``, applies to what is created after that, not to
    the service. Raises ``ConfigurationError`` if a value is wrong or a key is unknown.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        validate_default=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,  # a traceback also shows the cause of an error, and the input may be secret
    )

    redis_url: Secret | None = setting(
        None,
        "The broker: redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://. None: the embedded one.",
    )
    embedded: bool = setting(
        True, "Whether the embedded broker stands in where there is no redis_url. false: that is an error."
    )
    prefix: str = setting("bull", "BullMQ's key prefix; the same as the producers'.", pattern=f"^{PREFIX}$")
    state_dir: Path = setting(
        Path(".auth-worker"), "The directory of the embedded broker's data and of the outbox."
    )
    name: str | None = setting(
        None,
        "The worker's name, in logs and worker lists. None: host and process id.",
        max_length=200,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
    )

    http_host: Stripped = setting(
        "127.0.0.1", "The address of the HTTP port. Any other than loopback requires a token."
    )
    http_port: Whole | None = setting(
        9464,
        "The HTTP port. If the default is taken, the next free one. 0: any free one, none: no port.",
        ge=0,
        le=65535,
    )
    http_token: Secret | None = setting(None, "A token that permits everything over HTTP.")
    http_read_token: Secret | None = setting(None, "A token that permits reading everything and changing nothing.")
    http_metrics_token: Secret | None = setting(None, "A token that permits reading /metrics only.")
    http_tokens: dict[TokenName, HttpToken] = setting({}, "More tokens: a mapping from name to token and role.")
    dashboard: bool = setting(True, "Whether the HTTP port has the dashboard.")

    app_version: Stripped | None = setting(
        None, "The application's version: the page of metrics marks where it changed.", max_length=100
    )
    alerts: AlertSettings = setting(
        AlertSettings(), "When operators are notified of trouble, and how: a table, see the how-to of alerts."
    )

    shutdown_timeout: Seconds = setting(
        25, "How long running jobs may take to finish at shutdown (s); then they are handed back.", ge=0
    )
    startup_timeout: Seconds = setting(60, "How long to wait for the broker at start (s).", gt=0)
    log_level: LogLevel = setting("INFO", "The least severe level that is logged.")
    log_format: Literal["auto", "json", "console"] = setting("auto", "auto: JSON lines, unless on a terminal.")
    log_jobs: bool = setting(True, "Whether each completed job is logged.")
    telemetry: bool | None = setting(
        None, "Whether to use OpenTelemetry for traces and metrics. None: if the application has set it up."
    )
    metrics_registry: Literal["own", "application"] = setting(
        "own", "application: /metrics also shows what the application itself registers."
    )
    sentry: Literal["off", "failed", "attempts"] = setting(
        "failed", "Which failures become issues in Sentry: jobs that failed for good, or every failed attempt."
    )
    max_payload_bytes: Count = setting(
        16 * 1024 * 1024, "The most bytes of a job's data; a larger one is a dead letter at once.", ge=1024
    )
    max_result_bytes: Count = setting(
        16 * 1024 * 1024, "The most bytes of a job's result; a larger one fails the job.", ge=1024
    )
    dead_letter_max_count: Count = setting(
        100_000, "How many dead letters a queue keeps; the oldest are removed.", ge=1
    )
    dead_letter_max_age: Seconds = setting(90 * 86400, "How long dead letters are kept (s).", gt=0)
    reconcile_interval: Seconds = setting(30, "How often failed jobs and dead letters are compared (s).", gt=0)

    smtp_host: Stripped | None = setting(None, "The mail server. None: e-mails are written to the outbox folder.")
    smtp_port: Whole | None = setting(None, "Its port. None: 587, 465 or 25, by smtp_security.", ge=1, le=65535)
    smtp_username: Stripped | None = setting(None, "The user name, if the mail server requires one.")
    smtp_password: Secret | None = setting(None, "The password of smtp_username.")
    smtp_security: Literal["starttls", "tls", "none"] = setting(
        "starttls", "How the connection to the mail server is encrypted."
    )
    smtp_ca_file: Path | None = setting(
        None, "The mail server's certificate authority, as PEM. None: those of the system."
    )
    smtp_timeout: Seconds = setting(30, "How long the mail server may take to answer (s).", gt=0)
    smtp_connections: Whole = setting(
        4, "The most connections to the mail server, for each event loop.", ge=1, le=100
    )
    email_from: str = setting("Auth <no-reply@localhost>", "The sender of e-mails: 'Name <address>'.")
    email_product_name: str = setting("Auth", "The product's name in e-mails.")
    outbox_dir: Path | None = setting(
        None, "The folder for e-mails without a mail server. None: outbox in state_dir."
    )

    def __init__(self, **flags: Any) -> None:
        file = read_file(config_file())
        environment = read_environment(type(self).model_fields)
        try:
            super().__init__(**merge(file, {name: text for name, (_, text) in environment.items()}, flags))
        except ValidationError as error:
            set_at = {name: place.removeprefix(f"{name} in ") for name, place in self.sources().items()}
            places = {name: place for name, place in set_at.items() if name not in flags}
            raise configuration_error("settings", error, type(self), places) from None  # it quotes keys

    @field_validator("*", mode="before")
    @classmethod
    def _must_not_be_blank(cls, value: Any) -> Any:
        """Refuse a text without a character: an empty path would be the current folder."""
        if isinstance(value, str) and not value.strip():
            raise ValueError("must not be blank")
        return value

    @field_validator("http_port", mode="before")
    @classmethod
    def _no_port(cls, value: Any) -> Any:
        """Read ``none`` as None, which the environment and TOML do not have."""
        return None if isinstance(value, str) and value.strip().lower() == "none" else value

    @field_validator("log_level", "log_format", "metrics_registry", "sentry", "smtp_security", mode="before")
    @classmethod
    def _choice_in_any_case(cls, value: Any, info: ValidationInfo) -> Any:
        choices = get_args(cls.model_fields[str(info.field_name)].annotation)
        return next((each for each in choices if each.lower() == str(value).lower()), value)

    @model_validator(mode="after")
    def _tokens_must_differ(self) -> Self:
        for name in self._short_tokens():
            if name in self.http_tokens:
                raise ValueError(
                    f"http_tokens has {name!r} beside http_token, http_read_token or http_metrics_token: rename it"
                )
        texts = [entry.token.get_secret_value() for entry in self.access_tokens.values()]
        if len(set(texts)) < len(texts):
            raise ValueError("http_tokens, http_token, http_read_token and http_metrics_token must all differ")
        return self

    def _short_tokens(self) -> dict[str, HttpToken]:
        given = {
            "admin": self.http_token,
            "reader": self.http_read_token,
            "metrics": self.http_metrics_token,
        }
        return {name: HttpToken(token=token, role=name) for name, token in given.items() if token is not None}

    @property
    def access_tokens(self) -> dict[str, HttpToken]:
        """Return the tokens of the HTTP port by name. ``http_token`` and its like are named after their roles."""
        return {**self.http_tokens, **self._short_tokens()}

    @classmethod
    def sources(cls) -> dict[str, str]:
        """Where each setting that is not the default is set: in which variable, or in which file."""
        file = config_file()
        found = {name: f"{name} in {file}" for name in read_file(file)}
        return found | {name: variable for name, (variable, _) in read_environment(cls.model_fields).items()}
