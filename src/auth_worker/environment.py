"""The environment: which of its variables are settings, and which only look like it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from auth_worker.config_errors import nearest
from auth_worker.errors import ConfigurationError


def config_file() -> Path:
    """The file of settings: ``AUTH_WORKER_CONFIG``, or ``auth-worker.toml`` in the current folder."""
    return Path(os.environ.get("AUTH_WORKER_CONFIG") or "auth-worker.toml")


def refuse_unknown_environment(environment: Mapping[str, str], fields: Iterable[str]) -> None:
    """Raise ``ConfigurationError`` for an ``AUTH_WORKER_*`` variable that no setting reads."""
    known = {f"AUTH_WORKER_{field.upper()}" for field in fields} | {"AUTH_WORKER_CONFIG"}
    for name in environment:
        if name.startswith("AUTH_WORKER_") and name not in known:
            raise ConfigurationError(f"environment: {name} is not a setting{nearest(name, known)}")
