"""Names, defaults and settings. ``Settings`` is the only reader of the environment and of ``auth-worker.toml``.

All times of ``WorkerConfig`` are milliseconds, as in BullMQ; those of ``Settings`` are seconds, as operators
write them.
"""

from __future__ import annotations

import os
import re
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from auth_worker.coercion import MAX_NUMBER
from auth_worker.config_errors import configuration_error
from auth_worker.encoded_text import decode_utf8
from auth_worker.environment import config_file, is_service_link, refuse_unknown_environment
from auth_worker.errors import ConfigurationError
from auth_worker.names import PREFIX
from auth_worker.worker_config import (
    WORKER_CONFIG,
    Backoff,
    FrozenModel,
    Limiter,
    LogLevel,
    QueueMetricsConfig,
    Retention,
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
    """What an e-mail job can be: the ``name`` of the job, and the ``type`` in its data."""

    SEND_VERIFICATION_EMAIL = "sendVerificationEmail"
    SEND_PASSWORD_RESET_EMAIL = "sendPasswordResetEmail"  # noqa: S105 - a job type, not a password
    SEND_MAGIC_LINK_EMAIL = "sendMagicLinkEmail"
    SEND_ONE_TIME_CODE_EMAIL = "sendOneTimeCodeEmail"


class SmsJobType(StrEnum):
    """What an SMS job can be."""

    SEND_OTP = "sendOtp"


QUEUE_NAMES = QueueName
EMAIL_JOB_TYPES = EmailJobType
SMS_JOB_TYPES = SmsJobType


def strip_secret(value: Any) -> Any:
    """Strip white space and a byte order mark around ``value``: files of mounted secrets end in a line end.

    Raises ``ValueError``, without the value, where nothing is left, and for a control character within.
    """
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if not isinstance(value, str):
        return value
    value = value.strip().removeprefix("\ufeff").strip()
    if not value:
        raise ValueError("must not be blank")
    if _CONTROL.search(value):
        raise ValueError("must be one line of text, without control characters")
    return value


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
Secret = Annotated[SecretStr, BeforeValidator(strip_secret)]
Stripped = Annotated[str, BeforeValidator(strip_secret)]
"""Not secret by itself, but mounted from the same files."""
Seconds = Annotated[float, Field(le=1e9)]
"""At most 31 years: timers of threads take no more than 292."""
Count = Annotated[int, Field(le=MAX_NUMBER)]


class HttpToken(FrozenModel):
    """A token of the HTTP port: an ``admin`` may do all, a ``reader`` may look at all and change nothing.

    One of the role ``metrics`` may look at ``/metrics`` and nothing else.
    """

    token: Secret
    role: Literal["admin", "reader", "metrics"] = "admin"


TokenName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")]


class _Environment(EnvSettingsSource):
    """The environment without what Kubernetes injects for Services."""

    def __call__(self) -> dict[str, Any]:
        self.env_vars = {name: value for name, value in self.env_vars.items() if not is_service_link(name, value)}
        return super().__call__()


class _TomlFile(TomlConfigSettingsSource):
    """The file, which an editor may have begun with a byte order mark."""

    def _read_file(self, file_path: Any) -> dict[str, Any]:
        return tomllib.loads(decode_utf8(file_path.read_bytes()))


class Settings(BaseSettings):
    """What an operator sets: flags > environment ``AUTH_WORKER_*`` > ``auth-worker.toml`` > defaults.

    Times are seconds. They are read when a ``Settings`` is made and do not change afterwards: a variable that the
    application sets later, such as in ``init_services``, counts for what is made after that, not for the service.
    Raises ``ConfigurationError`` when a value is wrong or a key is unknown.
    """

    model_config = SettingsConfigDict(
        env_prefix="AUTH_WORKER_",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,  # a traceback shows the cause of an error too, and the input may be a secret
    )

    redis_url: Secret | None = None
    prefix: str = Field(default="bull", pattern=f"^{PREFIX}$")
    state_dir: Path = Path(".auth-worker")
    name: str | None = Field(default=None, max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")

    http_host: Stripped = "127.0.0.1"
    http_port: int | None = Field(default=9464, ge=0, le=65535)
    http_token: Secret | None = None
    http_read_token: Secret | None = None
    http_metrics_token: Secret | None = None
    http_tokens: dict[TokenName, HttpToken] = Field(default_factory=dict)

    shutdown_timeout: Seconds = Field(default=25, ge=0)
    startup_timeout: Seconds = Field(default=60, gt=0)
    log_level: LogLevel = "INFO"
    log_format: Literal["auto", "json", "console"] = "auto"
    log_jobs: bool = True
    telemetry: bool | None = None
    metrics_registry: Literal["own", "application"] = "own"
    sentry: Literal["off", "failed", "attempts"] = "failed"
    max_payload_bytes: Count = Field(default=16 * 1024 * 1024, ge=1024)
    max_result_bytes: Count = Field(default=16 * 1024 * 1024, ge=1024)
    dead_letter_max_count: Count = Field(default=100_000, ge=1)
    dead_letter_max_age: Seconds = Field(default=90 * 86400, gt=0)
    reconcile_interval: Seconds = Field(default=30, gt=0)

    smtp_host: Stripped | None = None
    smtp_port: int | None = Field(default=None, ge=1, le=65535)
    smtp_username: Stripped | None = None
    smtp_password: Secret | None = None
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    smtp_ca_file: Path | None = None
    smtp_timeout: Seconds = Field(default=30, gt=0)
    smtp_connections: int = Field(default=4, ge=1, le=100)
    email_from: str = "Auth <no-reply@localhost>"
    email_product_name: str = "Auth"
    outbox_dir: Path | None = None

    def __init__(self, **values: Any) -> None:
        refuse_unknown_environment(os.environ, type(self).model_fields)
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise configuration_error("settings", error, type(self)) from None  # it quotes keys, see there
        except SettingsError as error:  # its cause quotes the value, which may be secret
            raise ConfigurationError(f"settings: {error}; write it as JSON") from None
        except tomllib.TOMLDecodeError as error:  # it may quote a key or a value
            where = "".join(re.findall(r"\(at [^()]*\)", str(error))[-1:])
            raise ConfigurationError(
                f"settings: {config_file()} cannot be read as TOML {where}".rstrip()
            ) from None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise ConfigurationError(f"settings: {config_file()} cannot be read as TOML: {reason}") from None

    @field_validator("http_port", mode="before")
    @classmethod
    def _no_port(cls, value: Any) -> Any:
        """The environment and TOML have no None."""
        return None if isinstance(value, str) and value.strip().lower() == "none" else value

    @model_validator(mode="after")
    def _tokens_are_told_apart(self) -> Self:
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
        """The tokens of the HTTP port by name; ``http_token`` and its like are named for their roles."""
        return {**self.http_tokens, **self._short_tokens()}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags first, then the environment, then the file."""
        file = config_file()
        if os.environ.get("AUTH_WORKER_CONFIG") and not file.is_file():
            raise ConfigurationError(f"environment: AUTH_WORKER_CONFIG names {file}, and there is no such file")
        return init_settings, _Environment(settings_cls), _TomlFile(settings_cls, file)
