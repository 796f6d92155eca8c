"""The environment: which of its variables are settings, and which only look like it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from auth_worker.config_errors import nearest
from auth_worker.errors import ConfigurationError

PREFIX = "AUTH_WORKER_"
_SERVICE_NAME = re.compile(
    r"AUTH_WORKER(?:_\w+)?_(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:ADDR|PORT|PROTO))?"
    r"|ENV_\w+)"
)
_SERVICE_VALUES = (
    (re.compile(r"AUTH_WORKER(?:_\w+)?_PORT"), re.compile(r"(?:tcp|udp|sctp)://\S+:\d+")),
    (re.compile(r"AUTH_WORKER(?:_\w+)?_NAME"), re.compile(r"/[^/\s]+/[^/\s]+")),
)
"""Variables that only their values tell from settings such as http_port and name."""


def config_file() -> Path:
    """The file of settings: ``AUTH_WORKER_CONFIG``, or ``auth-worker.toml`` in the current folder."""
    return Path(os.environ.get("AUTH_WORKER_CONFIG") or "auth-worker.toml")


def is_service_link(name: str, value: str | None) -> bool:
    """Whether Kubernetes, or a Docker link, made the variable for a service called ``auth-worker...``.

    Source: kubelet's envvars.FromServices and Docker's legacy container links.
    """
    name = name.upper()
    if _SERVICE_NAME.fullmatch(name):
        return True
    return any(names.fullmatch(name) and values.fullmatch(value or "") for names, values in _SERVICE_VALUES)


def refuse_unknown_environment(environment: Mapping[str, str], fields: Iterable[str]) -> None:
    """Raise ``ConfigurationError`` for an ``AUTH_WORKER_*`` variable, in any case, that no setting reads."""
    known = {f"{PREFIX}{field.upper()}" for field in fields} | {f"{PREFIX}CONFIG"}
    for name, value in environment.items():
        if name.upper().startswith(PREFIX) and name.upper() not in known and not is_service_link(name, value):
            raise ConfigurationError(f"environment: {name} is not a setting{nearest(name.upper(), known)}")
