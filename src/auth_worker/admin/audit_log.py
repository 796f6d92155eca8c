"""The audit log: who changed what and when, from every interface of every process, kept on the broker."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
from collections.abc import Callable

from pydantic import ValidationError

from auth_worker.admin.models import Change
from auth_worker.core.camel_model import CamelModel
from auth_worker.core.clock import now_ms
from auth_worker.core.ports.operator import OperatorBroker
from auth_worker.errors import BrokerError

MOST_KEPT = 10_000
"""How many changes are kept, the newest. An entry has some 200 bytes."""
FLUSH_S = 2.0
"""How long (s) ``flush`` waits for a broker that is away."""


class RecordedChange(Change):
    """A change in the audit log: when it was made (epoch ms), and by whom."""

    at: int
    who: str


class ChangePage(CamelModel):
    """Some changes, the newest first, of ``total``; ``next_offset`` is where the next page starts, if any."""

    total: int
    next_offset: int | None
    changes: list[RecordedChange]


class AuditLog:
    """Writes the changes to the queues of ``broker`` into the audit log, and reads them.

    ``record`` also gets each change; ``who`` returns the name of whoever makes it. While the broker is away,
    changes reach ``record`` alone.
    """

    def __init__(self, broker: OperatorBroker, record: Callable[[Change], None], who: Callable[[], str]) -> None:
        self._keeper = broker.audit_log()
        self._record = record
        self._who = who
        self._writing: set[asyncio.Task[None]] = set()

    def record(self, change: Change) -> None:
        """Record a change that has been made. It is written in the background."""
        self._record(change)
        entry = RecordedChange(**change.model_dump(), at=now_ms(), who=self._who())
        task = asyncio.create_task(self._write(entry))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def count(self) -> int:
        """Return how many changes are kept. May raise ``BrokerError``."""
        return await self._keeper.count()

    async def page(self, offset: int, limit: int) -> ChangePage:
        """Return ``limit`` changes from ``offset`` on. May raise ``BrokerError``."""
        total, entries = await asyncio.gather(self._keeper.count(), self._keeper.read(offset, limit))
        end = offset + len(entries)
        return ChangePage(
            total=total,
            next_offset=end if end < total and entries else None,
            changes=[change for entry in entries if (change := _read(entry)) is not None],
        )

    async def flush(self) -> None:
        """Wait until every recorded change is written, at most ``FLUSH_S``."""
        if self._writing:
            await asyncio.wait(set(self._writing), timeout=FLUSH_S)

    async def _write(self, entry: RecordedChange) -> None:
        with contextlib.suppress(BrokerError):
            await self._keeper.append(entry.model_dump_json(by_alias=True), MOST_KEPT)


def os_user() -> str:
    """Return the name of the user that this process belongs to."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user may have no name, nor a service of Windows
        return str(os.getuid()) if hasattr(os, "getuid") else "unknown"


def _read(entry: str) -> RecordedChange | None:
    try:
        return RecordedChange.model_validate_json(entry)
    except ValidationError:
        return None
