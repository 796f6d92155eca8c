"""The exit codes of the commands. ``run`` has one more: 3, stopped with work handed back."""

from __future__ import annotations

from auth_worker.core.lifecycle import BROKER_UNREACHABLE, FAILED_TO_START

CLEAN, FAILED, USAGE, UNREACHABLE, INTERRUPTED = 0, FAILED_TO_START, 2, BROKER_UNREACHABLE, 130
UNHEALTHY = 3
"""``doctor`` has found a fault; ``health`` has found an unhealthy service, or none."""
