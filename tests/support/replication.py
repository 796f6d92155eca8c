"""Helpers for failovers from a primary to its replica."""

from __future__ import annotations

from support.processors import eventually
from support.servers import Server

CAUGHT_UP_WITHIN_S = 30.0


def replication_of(server: Server) -> dict[str, str]:
    """Return the replication section of INFO, empty while the server does not answer."""
    try:
        text = server.ask("INFO replication", timeout=1).decode(errors="replace")
    except OSError:
        return {}
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


async def settle(primary: Server, replica: Server) -> None:
    """Let ``primary`` confirm no write any more; return once ``replica`` has every write of before.

    Whoever writes gets no answer. So it is sure what the death of the primary may cost: nothing. WAIT would not
    do: it waits for the writes of its own connection alone.
    """
    assert primary.ask("CLIENT PAUSE 60000 WRITE").startswith(b"+OK")

    def caught_up() -> bool:
        there, here = replication_of(primary), replication_of(replica)
        offsets = there.get("master_repl_offset"), here.get("slave_repl_offset")
        return here.get("master_link_status") == "up" and None not in offsets and offsets[0] == offsets[1]

    await eventually(caught_up, "the replica has every write", CAUGHT_UP_WITHIN_S)


async def becomes(server: Server, role: str, within: float = 30.0) -> None:
    """Wait until ``server`` is ``master`` or ``slave``."""
    await eventually(
        lambda: replication_of(server).get("role") == role, f"the server at {server.port} is a {role}", within
    )
