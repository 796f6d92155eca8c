"""Where a consumer runs. In a module of its own, since worker processes need it without what reads settings."""

from __future__ import annotations

from typing import Literal

Execution = Literal["auto", "thread", "process"]
"""Where a consumer runs; ``auto``: an ``async def`` on the event loop, a plain ``def`` in a thread."""
