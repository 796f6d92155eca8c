"""The flags that override settings. The order is: flags, environment, file, defaults.

A flag's parameter has the name of its setting, so that ``settings_from`` finds it among the flags of a command.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from auth_worker.brokers.opening import check_url
from auth_worker.cli.console import fail
from auth_worker.cli.exit_codes import USAGE
from auth_worker.cli.parsers import number, whole_number
from auth_worker.config import Settings
from auth_worker.errors import ConfigurationError

BROKER, EMAIL, OTHERS = "Broker", "E-mail, without APP", "Other settings"


def option(*names: str, metavar: str | None, text: str, panel: str, **options: Any) -> Any:
    """Return a flag in a ``panel`` of the help. ``text`` names its default, if it has one."""
    return typer.Option(*names, metavar=metavar, help=text, rich_help_panel=panel, show_default=False, **options)


def _flag(flag: str, metavar: str | None, text: str, panel: str = OTHERS, **options: Any) -> Any:
    return option(flag, metavar=metavar, text=text, panel=panel, **options)


Redis = Annotated[
    str | None,
    _flag(
        "--redis",
        "URL",
        "redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://. Without one, and none in the "
        "settings: the embedded broker in the state directory.",
        BROKER,
    ),
]
Prefix = Annotated[str | None, _flag("--prefix", "TEXT", "BullMQ's key prefix (bull).", BROKER)]
StateDir = Annotated[
    Path | None,
    _flag(
        "--state-dir",
        "DIR",
        "Where the embedded broker keeps its data (.auth-worker); all processes that name it share the broker.",
        BROKER,
        file_okay=False,
    ),
]
Config = Annotated[
    Path | None, _flag("--config", "FILE", "Settings as TOML (auth-worker.toml).", exists=True, dir_okay=False)
]
HttpHost = Annotated[
    str | None,
    _flag("--http-host", "HOST", "Where the HTTP port listens (127.0.0.1); any but loopback needs a token."),
]
HttpPort = Annotated[
    str | None, _flag("--http-port", "PORT", "The HTTP port (9464, or the next free one); none: no port.")
]
Level = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR"] | None,
    _flag(
        "--log-level",
        "LEVEL",
        "The lowest level to log: debug, info, warning or error (info).",
        case_sensitive=False,
    ),
]
Format = Annotated[
    Literal["auto", "json", "console"] | None,
    _flag(
        "--log-format", "FORMAT", "auto, json or console (auto: json, unless on a terminal).", case_sensitive=False
    ),
]


@dataclass(frozen=True)
class ServiceSettings:
    """The settings that ``auth-worker run`` has flags for."""

    redis_url: Redis = None
    prefix: Prefix = None
    state_dir: StateDir = None
    startup_timeout: Annotated[
        float | None,
        _flag("--startup-timeout", "S", "How long to wait for the broker at start (60).", BROKER, parser=number),
    ] = None
    smtp_host: Annotated[
        str | None,
        _flag(
            "--smtp-host",
            "HOST",
            "The mail server; without one, e-mails go to the outbox folder as .eml files.",
            EMAIL,
        ),
    ] = None
    smtp_port: Annotated[
        int | None,
        _flag("--smtp-port", "PORT", "Its port (587, 465 or 25, by security).", EMAIL, parser=whole_number),
    ] = None
    smtp_username: Annotated[
        str | None,
        _flag(
            "--smtp-username", "TEXT", "The user name; the password is read from AUTH_WORKER_SMTP_PASSWORD.", EMAIL
        ),
    ] = None
    smtp_security: Annotated[
        Literal["starttls", "tls", "none"] | None,
        _flag("--smtp-security", "KIND", "starttls, tls or none (starttls).", EMAIL, case_sensitive=False),
    ] = None
    smtp_ca_file: Annotated[
        Path | None, _flag("--smtp-ca-file", "FILE", "The mail server's certificate authority, as PEM.", EMAIL)
    ] = None
    email_from: Annotated[str | None, _flag("--email-from", "ADDRESS", "The sender: 'Name <address>'.", EMAIL)] = (
        None
    )
    email_product_name: Annotated[
        str | None, _flag("--email-product-name", "TEXT", "The product the e-mails are about.", EMAIL)
    ] = None
    outbox_dir: Annotated[
        Path | None, _flag("--outbox-dir", "DIR", "The outbox folder (outbox in the state dir).", EMAIL)
    ] = None
    http_host: HttpHost = None
    http_port: HttpPort = None
    name: Annotated[str | None, _flag("--name", "TEXT", "The worker's name (host and process id).")] = None
    shutdown_timeout: Annotated[
        float | None,
        _flag(
            "--shutdown-timeout",
            "S",
            "How long running jobs may take to finish at shutdown; then they are handed back (25).",
            parser=number,
        ),
    ] = None
    log_level: Level = None
    log_format: Format = None
    config: Config = None


def settings_from(flags: Mapping[str, Any], *, check_redis: bool = True) -> Settings:
    """Return the settings, overridden by ``flags`` of a command; the flag ``config`` names the file.

    With ``check_redis``, exits with 2 for an invalid Redis URL, naming where it was set.
    Raises ``ConfigurationError``.
    """
    if flags.get("config") is not None:
        os.environ["AUTH_WORKER_CONFIG"] = str(flags["config"])
    overrides = _overrides(flags)
    if check_redis and not str(overrides.get("redis_url", "redis")).strip():
        fail("--redis must not be blank", USAGE)
    settings = Settings(**overrides)
    if check_redis and settings.redis_url is not None:
        try:
            check_url(settings.redis_url.get_secret_value())
        except ConfigurationError as error:
            fail(f"{_source_of_redis(overrides)}: {str(error).removeprefix('redis_connection: ')}", USAGE)
    return settings


def export_settings(flags: Mapping[str, Any]) -> None:
    """Set the environment variables of the settings in ``flags``, for the ``Settings`` of an application."""
    for name, value in _overrides(flags).items():
        os.environ[f"AUTH_WORKER_{name.upper()}"] = str(value)


def _source_of_redis(overrides: Mapping[str, Any]) -> str:
    return "--redis" if "redis_url" in overrides else Settings.sources()["redis_url"]


def _overrides(flags: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in flags.items() if value is not None and name in Settings.model_fields}
