"""The flags that set settings, and the settings they make: flags > environment > file > defaults.

A flag's parameter is called as its setting, so that ``settings_of`` finds it among all parameters of a command.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from auth_worker.broker.address import Address
from auth_worker.cli.console import USAGE, fail
from auth_worker.config import Settings
from auth_worker.environment import config_file
from auth_worker.errors import ConfigurationError

REDIS_VARIABLE = "AUTH_WORKER_REDIS_URL"
BROKER, MAIL, OTHERS = "Broker", "E-mail, without APP", "Other settings"


def option(*names: str, metavar: str | None, text: str, panel: str, **options: Any) -> Any:
    """A flag that stands in ``panel`` of the help; its default, if any, is told by ``text``."""
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
        "Where the embedded broker keeps its data (.auth-worker); all who name it share the broker.",
        BROKER,
        file_okay=False,
    ),
]
StartupTimeout = Annotated[
    float | None, _flag("--startup-timeout", "S", "How long to wait for the broker at start (60).", BROKER)
]
ShutdownTimeout = Annotated[
    float | None,
    _flag(
        "--shutdown-timeout", "S", "How long running jobs may go on at the end; then they are handed back (25)."
    ),
]
HttpHost = Annotated[
    str | None,
    _flag("--http-host", "HOST", "Where the HTTP port listens (127.0.0.1); any but loopback needs a token."),
]
HttpPort = Annotated[
    str | None, _flag("--http-port", "PORT", "The HTTP port (9464, or the next free one); none: no port.")
]
WorkerName = Annotated[str | None, _flag("--name", "TEXT", "The worker's name (host and process id).")]
LogLevel = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR"] | None,
    _flag("--log-level", None, "(info)", case_sensitive=False),
]
LogFormat = Annotated[
    Literal["auto", "json", "console"] | None, _flag("--log-format", None, "auto: json, unless on a terminal.")
]
PROCESSES = "Processes"
Processes = Annotated[
    int,
    typer.Option(
        "--processes",
        metavar="N",
        min=1,
        max=256,
        help="Service processes, kept running by this one.",
        rich_help_panel=PROCESSES,
    ),
]
Reload = Annotated[
    bool,
    typer.Option(
        "--reload",
        help="Start anew when a Python file in this folder changes: for development.",
        rich_help_panel=PROCESSES,
    ),
]
Child = Annotated[str | None, typer.Option("--child", hidden=True)]
Config = Annotated[
    Path | None, _flag("--config", "FILE", "Settings as TOML (auth-worker.toml).", exists=True, dir_okay=False)
]
SmtpHost = Annotated[
    str | None,
    _flag(
        "--smtp-host", "HOST", "The mail server; without one, e-mails go to the outbox folder as .eml files.", MAIL
    ),
]
SmtpPort = Annotated[int | None, _flag("--smtp-port", "PORT", "(587, 465 or 25, by security)", MAIL)]
SmtpUsername = Annotated[
    str | None, _flag("--smtp-username", "TEXT", "Its password is read from AUTH_WORKER_SMTP_PASSWORD.", MAIL)
]
SmtpSecurity = Annotated[
    Literal["starttls", "tls", "none"] | None, _flag("--smtp-security", None, "(starttls)", MAIL)
]
SmtpCaFile = Annotated[Path | None, _flag("--smtp-ca-file", "FILE", "The mail server's authority, as PEM.", MAIL)]
EmailFrom = Annotated[str | None, _flag("--email-from", "ADDRESS", "The sender: 'Name <address>'.", MAIL)]
EmailProductName = Annotated[
    str | None, _flag("--email-product-name", "TEXT", "Whom the e-mails speak for.", MAIL)
]
OutboxDir = Annotated[
    Path | None, _flag("--outbox-dir", "DIR", "The outbox folder (outbox in the state dir).", MAIL)
]


def settings_of(parameters: Mapping[str, Any], *, checked: bool = True) -> Settings:
    """The settings, with what ``parameters`` of a command set, and the file that ``config`` names.

    Where ``checked``, exits with 2, naming the source, for a wrong URL of Redis.
    Raises ``ConfigurationError``.
    """
    if parameters.get("config") is not None:
        os.environ["AUTH_WORKER_CONFIG"] = str(parameters["config"])
    given = _given(parameters)
    if checked and not str(given.get("redis_url", "redis")).strip():
        fail("--redis must not be blank", USAGE)
    settings = Settings(**given)
    if checked and settings.redis_url is not None:
        try:
            Address.of(settings.redis_url.get_secret_value())
        except ConfigurationError as error:
            fail(f"{_source_of_redis(given)}: {str(error).removeprefix('redis_connection: ')}", USAGE)
    return settings


def _source_of_redis(given: Mapping[str, Any]) -> str:
    if "redis_url" in given:
        return "--redis"
    variable = next((name for name, value in os.environ.items() if value and name.upper() == REDIS_VARIABLE), None)
    return variable or f"redis_url in {config_file()}"


def export(parameters: Mapping[str, Any]) -> None:
    """Put what ``parameters`` set into the environment, where the ``Settings`` of an application find it."""
    for name, value in _given(parameters).items():
        os.environ[f"AUTH_WORKER_{name.upper()}"] = str(value)


def _given(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value for name, value in parameters.items() if value is not None and name in Settings.model_fields
    }
