"""Runs bulk operations in the background: one request starts an operation, others watch and stop it."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable
from typing import Literal

from pydantic import Field

from auth_worker.admin.bulk import Steps
from auth_worker.admin.errors import NotFoundError, RefusedError
from auth_worker.admin.models import BulkStep
from auth_worker.core.clock import now_ms
from auth_worker.core.error_text import error_text
from auth_worker.core.redaction import redact
from auth_worker.core.report import Report
from auth_worker.errors import AuthWorkerError

MOST_KEPT = 100
MOST_RUNNING = 10
PATIENCE_S = 0.5
"""How long (s) the first request waits for the end, so that a small operation needs no second request."""


class BulkOperation(Report):
    """A bulk operation. ``step`` is its progress, whose ``total`` is known once the jobs have been found.

    A dry run has a total only. ``who`` is the name of the token; times are epoch ms. ``note`` names the queues
    that hold dead letters if the requested one holds none.
    """

    id: str
    action: str
    queue: str | None
    who: str
    dry_run: bool
    state: Literal["running", "done", "stopped", "failed"]
    started_at: int
    ended_at: int | None = None
    step: BulkStep = BulkStep()
    reasons: list[str] = Field(default_factory=list)
    note: str = ""


class _Entry:
    """A bulk operation and its task."""

    def __init__(self, report: BulkOperation) -> None:
        self.report = report
        self.task: asyncio.Task[None]

    async def run(self, prepare: Callable[[], Awaitable[Steps]]) -> None:
        state: Literal["done", "stopped", "failed"] = "failed"
        reasons: list[str] = []
        try:
            async with contextlib.aclosing(await prepare()) as steps:
                async for step in steps:
                    self._tell(step=step)
            state = "done"
        except asyncio.CancelledError:
            state = "stopped"
        except AuthWorkerError as error:
            reasons = [redact(str(error))]
        except Exception as error:  # whatever it was, the operation must show it
            reasons = [f"{type(error).__name__}: {error_text(error)}"]
        finally:
            self._tell(state=state, reasons=reasons, ended_at=now_ms())

    def _tell(self, **news: object) -> None:
        self.report = self.report.model_copy(update=news)


class BulkRuns:
    """The bulk operations of this process: the last ``MOST_KEPT``. Belongs to one event loop."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    async def begin(
        self,
        action: str,
        queue: str | None,
        who: str,
        dry_run: bool,
        prepare: Callable[[], Awaitable[Steps]],
        note: str = "",
    ) -> BulkOperation:
        """Start what ``prepare`` returns, and wait a moment for its end. ``note`` is shown with the operation.

        Raises ``RefusedError`` while too many run.
        """
        running = [entry for entry in self._entries.values() if not entry.task.done()]
        if len(running) >= MOST_RUNNING:
            raise RefusedError(f"{MOST_RUNNING} bulk operations run already: wait for one of them, or stop it")
        report = BulkOperation(
            id=uuid.uuid4().hex,
            action=action,
            queue=queue,
            who=who,
            dry_run=dry_run,
            state="running",
            started_at=now_ms(),
            note=note,
        )
        entry = _Entry(report)
        entry.task = asyncio.create_task(entry.run(prepare), name=f"bulk {action}")
        self._entries[report.id] = entry
        self._forget_the_oldest()
        await asyncio.wait({entry.task}, timeout=PATIENCE_S)
        return entry.report

    def all(self) -> list[BulkOperation]:
        """Return the operations, the newest first."""
        return [entry.report for entry in reversed(self._entries.values())]

    def get(self, operation_id: str) -> BulkOperation:
        """Return one of them. Raises ``NotFoundError``."""
        return self._entry(operation_id).report

    async def wait(self, operation_id: str, timeout: float) -> BulkOperation:
        """Return one of them once it has ended, or after ``timeout`` s. Raises ``NotFoundError``."""
        entry = self._entry(operation_id)
        await asyncio.wait({entry.task}, timeout=timeout)
        return entry.report

    async def stop(self, operation_id: str) -> BulkOperation:
        """Stop one between two batches, if it still runs. Raises ``NotFoundError``."""
        entry = self._entry(operation_id)
        entry.task.cancel()
        await asyncio.wait({entry.task})
        return entry.report

    async def stop_all(self) -> None:
        """Stop those that run."""
        for operation_id in list(self._entries):
            await self.stop(operation_id)

    def _entry(self, operation_id: str) -> _Entry:
        if operation_id not in self._entries:
            raise NotFoundError(
                f"there is no bulk operation {operation_id}: this process keeps the last {MOST_KEPT}"
            )
        return self._entries[operation_id]

    def _forget_the_oldest(self) -> None:
        ended = [operation_id for operation_id, entry in self._entries.items() if entry.task.done()]
        for operation_id in ended[: max(len(self._entries) - MOST_KEPT, 0)]:
            del self._entries[operation_id]
