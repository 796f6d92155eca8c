"""What is sent over a connection: commands, and calls that share one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

OnReply = Callable[[Any], None]


class Batchable(Protocol):
    """A kind of call. Making its commands must not raise: who made a call has gone on long ago."""

    def alone(self, call: Any) -> bytes:
        """The command for one call with this content."""

    def join(self, calls: Sequence[Any]) -> bytes:
        """One command for several calls with these contents; it answers with a list."""


Call = tuple[Batchable | None, Any]
"""The kind of a call, and what it says; without a kind that is a command in wire format."""
