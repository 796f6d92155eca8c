"""Where a service is in its life, and the exit codes it ends with."""

from __future__ import annotations

from enum import StrEnum

CLEAN, FAILED_TO_START, HANDED_BACK, BROKER_UNREACHABLE = 0, 1, 3, 4
"""Exit codes."""


class State(StrEnum):
    """Where the service is in its life."""

    NEW = "new"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
