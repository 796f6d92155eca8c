"""The header by which a response names the auth-worker service that sent it."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from auth_worker.config import Settings

IDENTITY_HEADER = "x-auth-worker-service"
_MARK = "auth-worker"


class Identity(NamedTuple):
    """The service that answers. A field is None if the client may not see it."""

    name: str | None = None
    pid: int | None = None
    state_dir: str | None = None

    @classmethod
    def of(cls, settings: Settings) -> Identity:
        """Return the identity of this process."""
        name = settings.name or f"{socket.gethostname()}-{os.getpid()}"
        return cls(name, os.getpid(), str(settings.state_dir.absolute()))

    @property
    def header(self) -> str:
        """The value of the header, JSON in ASCII."""
        known = {"name": self.name, "pid": self.pid, "stateDir": self.state_dir}
        return json.dumps({"service": _MARK, **{key: value for key, value in known.items() if value is not None}})

    def __str__(self) -> str:
        parts = (
            self.name and f"worker {self.name}",
            self.pid and f"pid {self.pid}",
            self.state_dir and f"state dir {self.state_dir}",
        )
        return ", ".join(part for part in parts if part)

    def serves(self, settings: Settings) -> bool:
        """Whether it is the service of ``settings``: of their name or, without one, of their state directory."""
        if settings.name is not None:
            return self.name == settings.name
        return self.state_dir is not None and Path(self.state_dir) == settings.state_dir.absolute()


def read_identity(headers: Mapping[str, str]) -> Identity | None:
    """Read the identity from the headers of a response; None if it is not from auth-worker."""
    try:
        found: Any = json.loads(headers.get(IDENTITY_HEADER) or "")
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or found.get("service") != _MARK:
        return None
    name, pid, state_dir = found.get("name"), found.get("pid"), found.get("stateDir")
    return Identity(
        name if isinstance(name, str) else None,
        pid if isinstance(pid, int) else None,
        state_dir if isinstance(state_dir, str) else None,
    )
