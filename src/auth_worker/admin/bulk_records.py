"""The records of bulk operations, which every process and replica reads: what each does, and how far it is."""

from __future__ import annotations

import asyncio
import re
import uuid
from typing import Literal

from pydantic import Field, ValidationError

from auth_worker.admin.errors import NotFoundError
from auth_worker.admin.models import BulkStep
from auth_worker.core.camel_model import CamelModel
from auth_worker.core.ports.bulk_operations import StoredBulkOperation
from auth_worker.core.ports.operator import OperatorBroker

MOST_KEPT = 100
"""How many are kept, the newest. A record has at most some 20 KB, usually 1 KB."""
LIFETIME_MS = 7 * 86_400_000
COUNT_LIFETIME_MS = 3_600_000
"""How long (ms) a dry run is kept."""
LONGEST_REQUEST = 256 * 1024
"""How many characters a request may have to be kept. A longer one, of thousands of ids, cannot be begun again."""
SILENCE_MS = 15_000
"""How long (ms) the runner of an operation may be silent before it counts as interrupted."""
_ID = re.compile(r"[0-9a-f]{32}")


def new_operation_id() -> str:
    """Return an id for an operation that is to be begun once, however often that is requested."""
    return uuid.uuid4().hex


def is_operation_id(text: str) -> bool:
    """Whether ``text`` has the form of an id."""
    return _ID.fullmatch(text) is not None


class BulkOperation(CamelModel):
    """A bulk operation. ``step`` is its progress, whose ``total`` is known once the jobs have been found.

    A dry run has a total only. ``who`` is the name of the token; times are epoch ms. ``selection`` says what was
    chosen, ``runner`` which process runs it. It is ``interrupted`` if that process has died or was stopped.
    ``note`` names the queues that hold dead letters if the requested one holds none.
    """

    id: str
    action: str
    queue: str | None
    who: str
    dry_run: bool
    state: Literal["running", "done", "stopped", "failed", "interrupted"]
    started_at: int
    updated_at: int
    ended_at: int | None = None
    step: BulkStep = BulkStep()
    reasons: list[str] = Field(default_factory=list)
    note: str = ""
    selection: dict[str, str] = Field(default_factory=dict)
    runner: str = ""
    stop_asked_by: str | None = None
    begun_again_as: str | None = None


class BulkRecords:
    """The bulk operations of the queues of ``broker``. Every coroutine may raise ``BrokerError``."""

    def __init__(self, broker: OperatorBroker) -> None:
        self._keeper = broker.bulk_operations()

    async def begin(self, operation: BulkOperation, request: str) -> bool:
        """Keep a new operation, with what was requested, and forget the oldest of those that have ended.

        Returns False, and keeps nothing, if an operation with its id was begun before.
        """
        await self._keeper.show_alive(operation.id, SILENCE_MS)  # first: a record alone is that of a dead runner
        if not await self._keeper.add(operation.id, operation.model_dump_json(by_alias=True)):
            return False
        await self.write(operation)
        if len(request) <= LONGEST_REQUEST:
            await self._keeper.write_request(operation.id, request)
        old = await self._keeper.ids_beyond(MOST_KEPT)
        found = await asyncio.gather(*map(self._keeper.read, old))
        await self._keeper.forget(
            [each for each, stored in zip(old, found, strict=True) if stored is None or not stored.alive]
        )
        return True

    async def write(self, operation: BulkOperation) -> None:
        """Keep an operation as it is now."""
        lifetime = COUNT_LIFETIME_MS if operation.dry_run else LIFETIME_MS
        record = operation.model_dump_json(by_alias=True)
        await self._keeper.write(operation.id, record, operation.started_at, lifetime)

    async def beat(self, operation_id: str) -> str:
        """Say that its runner lives. Returns who has asked to stop it; empty for nobody."""
        await self._keeper.show_alive(operation_id, SILENCE_MS)
        return await self._keeper.stop_asked_by(operation_id)

    async def end(self, operation: BulkOperation) -> None:
        """Keep an operation that has ended."""
        await self.write(operation)
        await self._keeper.show_alive(operation.id, 0)

    async def newest(self) -> list[BulkOperation]:
        """Return the operations of all processes, the newest first."""
        ids = await self._keeper.ids(MOST_KEPT)
        found = await asyncio.gather(*map(self._keeper.read, ids))
        await self._keeper.forget([each for each, stored in zip(ids, found, strict=True) if stored is None])
        return [known for stored in found if stored is not None and (known := _known(stored)) is not None]

    async def is_begun(self, operation_id: str) -> bool:
        """Whether there is one with this id."""
        return await self._keeper.read(operation_id) is not None

    async def get(self, operation_id: str) -> BulkOperation:
        """Return one of them. Raises ``NotFoundError``."""
        stored = await self._keeper.read(operation_id) if is_operation_id(operation_id) else None
        if stored is None or (known := _known(stored)) is None:
            raise NotFoundError(
                f"there is no bulk operation {operation_id!r:.80}: the newest {MOST_KEPT} are kept, for a week"
            )
        return known

    async def request_of(self, operation_id: str) -> str | None:
        """Return what was requested, as JSON; None if that was too long to be kept."""
        return await self._keeper.read_request(operation_id)

    async def ask_to_stop(self, operation_id: str, who: str) -> None:
        """Ask the process that runs it to stop it between two batches."""
        await self._keeper.ask_to_stop(operation_id, who)

    async def mark_begun_again(self, operation_id: str, as_id: str) -> None:
        """Note that another operation does it again."""
        await self._keeper.mark_begun_again(operation_id, as_id)


def _known(stored: StoredBulkOperation) -> BulkOperation | None:
    """Return the operation as all that is kept of it says; None for what is no record."""
    try:
        operation = BulkOperation.model_validate_json(stored.record)
    except ValidationError:
        return None
    update: dict[str, object] = {"begun_again_as": stored.begun_again_as or None}
    if stored.stop_asked_by:
        update["stop_asked_by"] = stored.stop_asked_by
    if operation.state == "running" and not stored.alive:
        update |= {"state": "interrupted", "ended_at": operation.updated_at}
    return operation.model_copy(update=update)
