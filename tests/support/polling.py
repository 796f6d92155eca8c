"""Waits for a condition without an event loop. In one, ``support.processors.eventually`` does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def wait_until(condition: Callable[[], Any], complaint: str, within: float = 15) -> None:
    """Poll until ``condition`` is true. Fails with ``complaint`` after ``within`` s."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, complaint
        time.sleep(0.01)
