"""The states of a service, and the exit codes of its process."""

from __future__ import annotations

from enum import StrEnum

CLEAN, FAILED_TO_START, HANDED_BACK, BROKER_UNREACHABLE = 0, 1, 3, 4
"""Exit codes."""


class ServiceState(StrEnum):
    """The state of a service."""

    NEW = "new"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
