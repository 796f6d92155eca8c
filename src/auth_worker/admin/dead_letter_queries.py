"""Reads dead letters: the queues that hold them, a page of them, the selected ones, one in full."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from auth_worker.admin.errors import NotFoundError
from auth_worker.admin.models import DeadLetterDetail, DeadLetterPage, DeadLetterRow
from auth_worker.admin.selection import (
    EVERY,
    MOST_SELECTED,
    PAGE,
    SCAN,
    SMALL_PAGE,
    DeadLetterFilter,
    DeadLetterSelection,
)
from auth_worker.admin.visible_data import encodable, encodable_text, masked, masked_lines, shape
from auth_worker.core.clock import now_ms
from auth_worker.core.coercion import MAX_NUMBER
from auth_worker.core.config_errors import nearest
from auth_worker.core.dead_letter import DeadLetter, is_dead_letter_id, queue_of
from auth_worker.core.ports.operator import OperatorBroker

MOST_NOTES = 20
"""How many notes a dead letter keeps, the newest."""
"""How many dead letters to read at a time if their data is needed, so that other threads get a turn in between."""


class DeadLetterQueries:
    """Reads the dead letters of all queues of ``broker``."""

    def __init__(self, broker: OperatorBroker) -> None:
        self._broker = broker

    async def queues(self, names: Sequence[str] | None = None) -> dict[str, int]:
        """Return the dead-letter queues, of ``names`` or of all, that hold any, with their number.

        Raises ``BrokerError``.
        """
        if names is None:
            names, _ = await self._broker.find_queues()
        counts = await asyncio.gather(*(self._broker.dead_letters(name).count_if_any() for name in names))
        return {name: count for name, count in zip(names, counts, strict=True) if count}

    async def origins(self, queue: str, most: int = 1000) -> dict[str, int]:
        """Return from which queues the newest dead letters of a dead-letter queue come, and how many from each."""
        found: dict[str, int] = {}
        for letter_id in await self._broker.dead_letters(queue).ids(0, most):
            origin = queue_of(letter_id)
            found[origin] = found.get(origin, 0) + 1
        return found

    async def queues_from(self, queue: str) -> list[str]:
        """Return the dead-letter queues whose newest dead letters include some of ``queue``.

        Raises ``BrokerError``.
        """
        holding = list(await self.queues())
        origins = await asyncio.gather(*(self.origins(name) for name in holding))
        return [name for name, found in zip(holding, origins, strict=True) if queue in found]

    async def check_origin(self, queue: str | None) -> None:
        """Raise ``NotFoundError`` unless the queue, or a dead letter from it, exists.

        May raise ``BrokerError``.
        """
        if queue is None:
            return
        names, _ = await self._broker.find_queues()
        if queue in names:
            return
        found = await asyncio.gather(*(self.origins(name) for name in await self.queues(names)))
        known = {*names, *(origin for origins in found for origin in origins)}
        if queue not in known:
            raise NotFoundError(
                f"there is no queue {queue!r} under the prefix {self._broker.prefix!r}, nor a dead letter from one"
                f"{nearest(queue, known)}"
            )

    async def note_without_letters(self, queue: str | None) -> str:
        """Return a text that names the queues with dead letters if ``queue`` holds none, else an empty one.

        Raises ``BrokerError``.
        """
        if queue is None or await self.queues([queue]):
            return ""
        others = list(await self.queues())[:10]
        return f"{queue} holds no dead letters; " + (
            f"those that do: {', '.join(others)}" if others else "no queue does"
        )

    async def page(
        self, queue: str, wanted: DeadLetterFilter = EVERY, offset: int = 0, limit: int = 50
    ) -> DeadLetterPage:
        """Return ``limit`` dead letters that match, from ``offset`` on, the newest first.

        At most ``SCAN`` are read. Raises ``BrokerError``.
        """
        now, position = now_ms(), offset
        rows: list[DeadLetterRow] = []
        total = await self._broker.dead_letters(queue).count()
        while position < min(total, offset + SCAN) and len(rows) < limit:
            letters = await self._read(queue, position, min(SMALL_PAGE, max(limit, 10)))
            if not letters:  # some were redriven or purged meanwhile
                position = total
            for letter in letters:
                position += 1
                if letter is not None and wanted.matches(letter, now):
                    rows.append(_row(letter))
                    if len(rows) == limit:
                        break
        end = None if position >= total else position
        return DeadLetterPage(
            dead_letter_queue=queue,
            total=total,
            scanned=position - offset,
            next_offset=end,
            letters=rows,
            note="" if rows else await self.note_without_letters(queue),
        )

    async def show(self, queue: str, letter_id: str, *, reveal: bool = False) -> DeadLetterDetail:
        """Return one dead letter. Raises ``NotFoundError`` and ``BrokerError``."""
        letter = await self._show(queue, letter_id) if await self._is_there(queue, letter_id) else None
        if letter is None:
            raise await self._missing(queue, letter_id)
        data: dict[str, Any] = letter.data if isinstance(letter.data, dict) else {"data": letter.data}
        given = data.get("stacktrace") or []
        traces = [encodable_text(trace) for trace in (given if isinstance(given, list) else [given])]
        opts = data.get("opts") if isinstance(data.get("opts"), dict) else {}
        row = _row(letter).model_dump()
        if reveal:
            row["failed_reason"] = _field(data, "failedReason")
        return DeadLetterDetail(
            **row,
            dead_letter_queue=queue,
            data=encodable(data.get("data")) if reveal else shape(data.get("data")),
            opts=encodable(opts) if reveal else masked(opts),
            stacktrace=traces if reveal else [masked_lines(trace) for trace in traces],
            trace_context=_field(data, "traceContext") or None,
            readable="raw" not in data,
            notes=(await self._broker.jobs(queue).logs(letter_id, MOST_NOTES))[0],
            revealed=reveal,
        )

    async def find(self, letter_id: str) -> str:
        """Return the dead-letter queue that holds a dead letter. Raises ``NotFoundError`` and ``BrokerError``."""
        names, _ = await self._broker.find_queues()
        there = await asyncio.gather(*(self._is_there(name, letter_id) for name in names))
        for name, found in zip(names, there, strict=True):
            if found:
                return name
        raise NotFoundError(f"there is no dead letter {letter_id}")

    async def choose(self, which: DeadLetterSelection) -> dict[str, list[str]]:
        """Return the ids of the selected dead letters, by dead-letter queue.

        Raises ``NotFoundError`` and ``BrokerError``.
        """
        chosen: dict[str, list[str]] = {}
        if which.ids is not None:
            for letter_id in which.ids:
                chosen.setdefault(which.queue or await self.find(letter_id), []).append(letter_id)
            return chosen
        keep = which.keep or 0
        for name in [which.queue] if which.queue else list(await self.queues()):
            found = await self.select(name, which.filter)
            chosen[name] = found[: len(found) - keep] if keep < len(found) else []
        return chosen

    async def select(self, queue: str, wanted: DeadLetterFilter = EVERY, limit: int | None = None) -> list[str]:
        """Return the ids of ``limit`` dead letters that match, the oldest first. Raises ``BrokerError``."""
        total, now = await self._broker.dead_letters(queue).count(), now_ms()
        found: list[str] = []
        most = min(limit or MOST_SELECTED, MOST_SELECTED)
        position, size = total, SMALL_PAGE if wanted.restricts else PAGE
        while position > 0 and len(found) < most:
            start = max(position - size, 0)
            if wanted.restricts:
                letters = await self._read(queue, start, position - start)
                page = [one.id for one in letters if one is not None and wanted.matches(one, now)]
            else:
                ids = await self._broker.dead_letters(queue).ids(start, position - start)
                page = [letter_id for letter_id in ids if is_dead_letter_id(letter_id)]
            found += reversed(page)
            position = start
        return found[:most]

    async def _missing(self, queue: str, letter_id: str) -> NotFoundError:
        note = await self.note_without_letters(queue)
        return NotFoundError(f"there is no dead letter {letter_id} in {queue}{note and f'; {note}'}")

    async def _is_there(self, queue: str, letter_id: str) -> bool:
        return is_dead_letter_id(letter_id) and await self._broker.jobs(queue).kind(letter_id) == "job"

    async def _read(self, queue: str, offset: int, limit: int) -> list[DeadLetter | None]:
        ids = await self._broker.dead_letters(queue).ids(offset, limit)
        return await asyncio.gather(*(self._show(queue, letter_id) for letter_id in ids))

    async def _show(self, queue: str, letter_id: str) -> DeadLetter | None:
        return await self._broker.dead_letters(queue).read(letter_id) if is_dead_letter_id(letter_id) else None


def _row(letter: DeadLetter) -> DeadLetterRow:
    data: dict[str, Any] = letter.data if isinstance(letter.data, dict) else {}
    return DeadLetterRow(
        id=letter.id,
        queue=_field(data, "originalQueue"),
        job_id=_field(data, "originalJobId"),
        name=letter.name,
        reason_class=_field(data, "reasonClass"),
        failed_reason=str(masked(_field(data, "failedReason"))),
        attempts_made=_number(data.get("attemptsMade")),
        failed_at=_number(data.get("failedAt")) or letter.timestamp,
        worker=_field(data, "worker"),
    )


def _field(data: dict[str, Any], name: str) -> str:
    return encodable_text(data.get(name) or "")


def _number(value: Any) -> int:
    return value if isinstance(value, int) and abs(value) <= MAX_NUMBER else 0
