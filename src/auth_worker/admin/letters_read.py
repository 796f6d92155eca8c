"""Looking at dead letters: which queues hold them, a page of them, the ones that are meant, all of one."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from typing import Any

from auth_worker.admin.errors import NotFoundError
from auth_worker.admin.masking import masked, masked_lines, shape, whole, whole_text
from auth_worker.admin.models import LetterDetail, LetterPage, LetterRow
from auth_worker.admin.search import EVERY, LetterFilter
from auth_worker.broker.dead_letters import DeadLetters
from auth_worker.broker.job_view import JobView
from auth_worker.broker.link import Link
from auth_worker.broker.queue_finder import find_queues
from auth_worker.coercion import MAX_NUMBER
from auth_worker.config_errors import nearest
from auth_worker.dead_letter import Letter, queue_of

LETTER_ID = re.compile(r"[^@]+@[^@]+@\d{13,}")
"""What ``dead_letter.letter_id`` makes: queue@job@time of death. A job of any other id is no letter, in whatever
queue it waits: nothing here shows, redrives or purges it."""
PAGE = 100
SCAN = 10_000
"""How many letters a page looks at before it lets itself be continued."""
MOST_SELECTED = 100_000


class LetterReading:
    """The dead letters of all queues under ``prefix``."""

    def __init__(self, link: Link, prefix: str) -> None:
        self._link = link
        self._prefix = prefix

    async def queues(self, names: Sequence[str] | None = None) -> dict[str, int]:
        """The dead-letter queues with letters, of ``names`` or of all, and how many. Raises ``BrokerError``."""
        if names is None:
            names, _ = await find_queues(self._link, self._prefix)
        counts = await asyncio.gather(*(self._letters_in(name) for name in names))
        return {name: count for name, count in zip(names, counts, strict=True) if count}

    async def origins(self, queue: str, most: int = 1000) -> dict[str, int]:
        """Where the newest letters of a dead-letter queue come from, as their ids have it: how many of each."""
        found: dict[str, int] = {}
        for letter_id in await self._link.execute("LRANGE", self._wait(queue), 0, most - 1):
            origin = queue_of(letter_id.decode(errors="replace"))
            found[origin] = found.get(origin, 0) + 1
        return found

    async def check_origin(self, queue: str | None) -> None:
        """Raise ``NotFoundError`` unless there is such a queue, or a letter from it. And ``BrokerError``."""
        if queue is None:
            return
        names, _ = await find_queues(self._link, self._prefix)
        if queue in names:
            return
        found = await asyncio.gather(*(self.origins(name) for name in await self.queues(names)))
        known = {*names, *(origin for origins in found for origin in origins)}
        if queue not in known:
            raise NotFoundError(
                f"there is no queue {queue!r} under the prefix {self._prefix!r}, and no letter from one"
                f"{nearest(queue, known)}"
            )

    async def page(self, queue: str, wanted: LetterFilter = EVERY, offset: int = 0, limit: int = 50) -> LetterPage:
        """``limit`` letters that are meant, from ``offset`` on, the newest first.

        At most ``SCAN`` are looked at. Raises ``BrokerError``.
        """
        now, position = time.time(), offset
        rows: list[LetterRow] = []
        total = await self._reader(queue).count()
        while position < min(total, offset + SCAN) and len(rows) < limit:
            letters = await self._read(queue, position, min(PAGE, max(limit, 10)))
            if not letters:  # some were redriven or purged meanwhile
                position = total
            for letter in letters:
                position += 1
                if letter is not None and wanted.matches(letter, now):
                    rows.append(_row(letter))
                    if len(rows) == limit:
                        break
        end = None if position >= total else position
        return LetterPage(
            dead_letter_queue=queue, total=total, scanned=position - offset, next_offset=end, letters=rows
        )

    async def show(self, queue: str, letter_id: str, *, reveal: bool = False) -> LetterDetail:
        """One letter. Raises ``NotFoundError`` and ``BrokerError``."""
        letter = await self._show(queue, letter_id) if await self._is_there(queue, letter_id) else None
        if letter is None:
            raise NotFoundError(f"there is no letter {letter_id} in {queue}")
        data: dict[str, Any] = letter.data if isinstance(letter.data, dict) else {"data": letter.data}
        given = data.get("stacktrace") or []
        traces = [whole_text(trace) for trace in (given if isinstance(given, list) else [given])]
        opts = data.get("opts") if isinstance(data.get("opts"), dict) else {}
        row = _row(letter).model_dump()
        if reveal:
            row["failed_reason"] = _field(data, "failedReason")
        return LetterDetail(
            **row,
            dead_letter_queue=queue,
            data=whole(data.get("data")) if reveal else shape(data.get("data")),
            opts=whole(opts) if reveal else masked(opts),
            stacktrace=traces if reveal else [masked_lines(trace) for trace in traces],
            trace_context=_field(data, "traceContext") or None,
            readable="raw" not in data,
            revealed=reveal,
        )

    async def find(self, letter_id: str) -> str:
        """The dead-letter queue that holds a letter. Raises ``NotFoundError`` and ``BrokerError``."""
        names, _ = await find_queues(self._link, self._prefix)
        there = await asyncio.gather(*(self._is_there(name, letter_id) for name in names))
        for name, found in zip(names, there, strict=True):
            if found:
                return name
        raise NotFoundError(f"there is no letter {letter_id}")

    async def choose(
        self, letter_ids: Sequence[str] | None, wanted: LetterFilter, queue: str | None, keep: int = 0
    ) -> dict[str, list[str]]:
        """The letters meant, by their dead-letter queue: those named, else those ``select`` finds.

        ``queue`` None: of all. The newest ``keep`` of each queue are left out where none are named.
        Raises ``NotFoundError`` and ``BrokerError``.
        """
        chosen: dict[str, list[str]] = {}
        if letter_ids is not None:
            for letter_id in letter_ids:
                chosen.setdefault(queue or await self.find(letter_id), []).append(letter_id)
            return chosen
        for name in [queue] if queue else list(await self.queues()):
            found = await self.select(name, wanted)
            chosen[name] = found[: len(found) - keep] if keep < len(found) else []
        return chosen

    async def select(self, queue: str, wanted: LetterFilter = EVERY, limit: int | None = None) -> list[str]:
        """The ids of the letters meant, the oldest first, ``limit`` of them. Raises ``BrokerError``."""
        total, now = await self._reader(queue).count(), time.time()
        found: list[str] = []
        most = min(limit or MOST_SELECTED, MOST_SELECTED)
        position = total
        while position > 0 and len(found) < most:
            start = max(position - PAGE, 0)
            if wanted.asks:
                letters = await self._read(queue, start, position - start)
                page = [one.id for one in letters if one is not None and wanted.matches(one, now)]
            else:
                ids = await self._link.execute("LRANGE", self._wait(queue), start, position - 1)
                names = (letter_id.decode(errors="replace") for letter_id in ids)
                page = [name for name in names if LETTER_ID.fullmatch(name)]
            found += reversed(page)
            position = start
        return found[:most]

    async def _is_there(self, queue: str, letter_id: str) -> bool:
        if not LETTER_ID.fullmatch(letter_id):
            return False
        return await JobView(self._link, self._prefix, queue).kind(letter_id) == "job"

    async def _read(self, queue: str, offset: int, limit: int) -> list[Letter | None]:
        ids = await self._link.execute("LRANGE", self._wait(queue), offset, offset + limit - 1)
        names = (letter_id.decode(errors="replace") for letter_id in ids)
        return await asyncio.gather(*(self._show(queue, name) for name in names))

    async def _show(self, queue: str, letter_id: str) -> Letter | None:
        if not LETTER_ID.fullmatch(letter_id):
            return None
        try:
            return await self._reader(queue).show(letter_id)
        except (ValueError, RecursionError):  # somebody else wrote it
            return Letter(letter_id, "unreadable", {}, 0)

    async def _letters_in(self, queue: str) -> int:
        key = self._wait(queue)
        first, last, count = await asyncio.gather(
            self._link.execute("LINDEX", key, 0),
            self._link.execute("LINDEX", key, -1),
            self._link.execute("LLEN", key),
        )
        ends = [(end or b"").decode(errors="replace") for end in (first, last)]
        return int(count) if any(LETTER_ID.fullmatch(end) for end in ends) else 0

    def _reader(self, queue: str) -> DeadLetters:
        return DeadLetters(self._link, self._prefix, queue)

    def _wait(self, queue: str) -> str:
        return f"{self._prefix}:{queue}:wait"


def _row(letter: Letter) -> LetterRow:
    data: dict[str, Any] = letter.data if isinstance(letter.data, dict) else {}
    return LetterRow(
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
    return whole_text(data.get(name) or "")


def _number(value: Any) -> int:
    return value if isinstance(value, int) and abs(value) <= MAX_NUMBER else 0
