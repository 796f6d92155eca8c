"""Redis's wire format, read back."""

from __future__ import annotations

import hiredis


def command_in(wire: bytes) -> list[bytes]:
    """Return the arguments of the one command in ``wire``."""
    reader = hiredis.Reader()
    reader.feed(wire)
    command: list[bytes] = reader.gets()
    assert reader.gets() is False, "more than one command"
    return command
