"""Runs bulk operations in the background: one request starts an operation, others watch and stop it.

Their records are in the broker, so that it does not matter which process answers those others.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Literal

from auth_worker.admin.bulk import Steps
from auth_worker.admin.bulk_records import BulkOperation, BulkRecords, new_operation_id
from auth_worker.admin.errors import RefusedError
from auth_worker.admin.operations import Operations
from auth_worker.core.clock import now_ms
from auth_worker.core.error_text import error_text
from auth_worker.core.redaction import redact
from auth_worker.errors import AuthWorkerError, BrokerError

MOST_RUNNING = 10
PATIENCE_S = 0.5
"""How long (s) the first request waits for the end, so that a small operation needs no second request."""
BEAT_S = 1.0
"""How often (s) the progress is written, and requests to stop are looked for."""
STOP_PATIENCE_S = 3.0
"""How long (s) a request to stop waits until another process has stopped."""
WRITE_PATIENCE_S = 60.0
"""For how long (s) the end of an operation is written again, where the broker is away."""
LAST_WRITE_S = 2.0
"""The same when the process stops."""
SERVICE_STOPPED = "the process that ran it was stopped"


class BulkRequest:
    """What is to be run. ``prepare`` returns the steps; ``request`` is the request's body, to begin it again."""

    def __init__(
        self,
        action: str,
        queue: str | None,
        *,
        dry_run: bool,
        prepare: Callable[[], Awaitable[Steps]],
        note: str,
        selection: dict[str, str],
        request: str,
    ) -> None:
        self.action = action
        self.queue = queue
        self.dry_run = dry_run
        self.prepare = prepare
        self.note = note
        self.selection = selection
        self.request = request

    def begun_by(self, who: str, operation_id: str | None) -> BulkOperation:
        """Return the record of its begin."""
        now = now_ms()
        return BulkOperation(
            id=operation_id or new_operation_id(),
            action=self.action,
            queue=self.queue,
            who=who,
            dry_run=self.dry_run,
            state="running",
            started_at=now,
            updated_at=now,
            note=self.note,
            selection=self.selection,
            runner=f"{socket.gethostname()}:{os.getpid()}",
        )


class _Run:
    """A bulk operation of this process, which runs from now on. ``task`` ends when its end is written."""

    def __init__(
        self, report: BulkOperation, records: BulkRecords, prepare: Callable[[], Awaitable[Steps]]
    ) -> None:
        self.report = report
        self.write_until: float | None = None
        self._records = records
        self._steps = asyncio.create_task(self._take(prepare))
        self._cause: Literal["stopped", "interrupted"] = "stopped"
        self.task = asyncio.create_task(self._run(), name=f"bulk {report.action}")

    def stop(self, who: str | None) -> None:
        """Stop it between two batches: somebody wants that, or None: the process ends."""
        if who is None:
            self._cause = "interrupted"
        elif not self._steps.done():
            self._tell(stop_asked_by=who)
        self._steps.cancel()

    async def _run(self) -> None:
        beating = asyncio.create_task(self._beat())
        await asyncio.wait({self._steps})
        beating.cancel()
        await asyncio.wait({beating})
        state, reasons = self._end_of(self._steps)
        self._tell(state=state, reasons=reasons, ended_at=now_ms())
        await self._write_the_end()

    async def _take(self, prepare: Callable[[], Awaitable[Steps]]) -> None:
        async with contextlib.aclosing(await prepare()) as steps:
            async for step in steps:
                self._tell(step=step)

    def _end_of(self, steps: asyncio.Task[None]) -> tuple[str, list[str]]:
        if steps.cancelled():
            return self._cause, [SERVICE_STOPPED] if self._cause == "interrupted" else []
        match steps.exception():
            case None:
                return "done", []
            case AuthWorkerError() as error:
                return "failed", [redact(str(error))]
            case error:  # whatever it was, the operation must show it
                return "failed", [f"{type(error).__name__}: {error_text(error)}"]

    def _tell(self, **news: object) -> None:
        self.report = self.report.model_copy(update={**news, "updated_at": now_ms()})

    async def _beat(self) -> None:
        """Write the progress from time to time, and stop where that is asked for."""
        written = self.report
        while True:
            await asyncio.sleep(BEAT_S)
            with contextlib.suppress(BrokerError):  # it may work the next time
                if who := await self._records.beat(self.report.id):
                    self.stop(who)
                    return
                if self.report is not written:
                    written = self.report
                    await self._records.write(written)

    async def _write_the_end(self) -> None:
        if self.write_until is None:
            self.write_until = time.monotonic() + WRITE_PATIENCE_S
        while True:
            try:
                await self._records.end(self.report)
            except BrokerError:  # nobody can read it now either; without an end it counts as interrupted
                if time.monotonic() > self.write_until:
                    return
                await asyncio.sleep(min(BEAT_S, LAST_WRITE_S / 10))
            else:
                return


class BulkRuns:
    """The bulk operations: those that this process runs, and the records of all. Belongs to one event loop.

    ``operations`` returns the operations, connected. Every coroutine may raise ``BrokerError``.
    """

    def __init__(self, operations: Callable[[], Awaitable[Operations]]) -> None:
        self._operations = operations
        self._running: dict[str, _Run] = {}
        self._beginning = 0

    async def begin(self, asked: BulkRequest, who: str, operation_id: str | None = None) -> BulkOperation:
        """Start what is asked for, and wait a moment for its end. Raises ``RefusedError`` while too many run.

        If an operation with the id ``operation_id`` was begun before, here or elsewhere, that one is returned.
        """
        if len(self._running) + self._beginning >= MOST_RUNNING:
            raise RefusedError(f"{MOST_RUNNING} bulk operations run already: wait for one of them, or stop it")
        report = asked.begun_by(who, operation_id)
        self._beginning += 1
        try:
            records = (await self._operations()).bulk
            if not await records.begin(report, asked.request):
                return await self.get(report.id)
        finally:
            self._beginning -= 1
        run = self._running[report.id] = _Run(report, records, asked.prepare)
        run.task.add_done_callback(lambda _: self._running.pop(report.id, None))
        await asyncio.wait({run.task}, timeout=PATIENCE_S)
        return run.report

    async def all(self) -> list[BulkOperation]:
        """Return the operations of all processes, the newest first."""
        found = await (await self._operations()).bulk.newest()
        return [self._running[each.id].report if each.id in self._running else each for each in found]

    async def get(self, operation_id: str) -> BulkOperation:
        """Return one of them. Raises ``NotFoundError``."""
        run = self._running.get(operation_id)
        return await (await self._operations()).bulk.get(operation_id) if run is None else run.report

    async def wait(self, begun: BulkOperation, timeout: float) -> BulkOperation:
        """Return one that was begun here once it has ended, or after ``timeout`` s."""
        if (run := self._running.get(begun.id)) is None:
            return await self.get(begun.id)
        await asyncio.wait({run.task}, timeout=timeout)
        return run.report

    async def stop(self, operation_id: str, who: str) -> BulkOperation:
        """Stop one between two batches, wherever it runs. One that has ended stays as it is.

        What another process does not stop in time is returned as running. Raises ``NotFoundError``.
        """
        if (run := self._running.get(operation_id)) is not None:
            run.stop(who)
            await asyncio.wait({run.task}, timeout=STOP_PATIENCE_S)
            return run.report
        records = (await self._operations()).bulk
        found = await records.get(operation_id)
        if found.state == "running":
            await records.ask_to_stop(operation_id, who)
        deadline = time.monotonic() + STOP_PATIENCE_S
        while found.state == "running" and time.monotonic() < deadline:
            await asyncio.sleep(BEAT_S / 10)
            found = await records.get(operation_id)
        return found

    async def stop_all(self) -> None:
        """Stop those that this process runs: they count as interrupted, and can be begun again elsewhere."""
        runs = list(self._running.values())
        for run in runs:
            run.write_until = time.monotonic() + LAST_WRITE_S
        for _ in range(2):  # the second time for one that waits in the middle of a batch, where the broker is away
            for run in runs:
                run.stop(None)
            if runs:
                await asyncio.wait({run.task for run in runs}, timeout=2 * LAST_WRITE_S)
