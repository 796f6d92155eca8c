"""The dead letters of a queue with partitions as one store: each is beside the job that it belongs to."""

from __future__ import annotations

from collections.abc import Sequence

from auth_worker.brokers.partitions.answers import find_answer, read_available, read_page
from auth_worker.core.dead_letter import DeadLetter
from auth_worker.core.partitions import logical_name
from auth_worker.core.ports.operator import DeadLetterStore


class PartitionedDeadLetterStore:
    """A ``DeadLetterStore`` over those of the partitions."""

    def __init__(self, parts: Sequence[DeadLetterStore]) -> None:
        self._parts = parts

    async def count(self) -> int:
        """As in ``DeadLetterStore``."""
        return sum(await read_available(self._parts, lambda part: part.count()))

    async def count_if_any(self) -> int:
        """As in ``DeadLetterStore``."""
        return sum(await read_available(self._parts, lambda part: part.count_if_any()))

    async def ids(self, offset: int, limit: int) -> list[str]:
        """As in ``DeadLetterStore``, in the order of each partition."""
        return await read_page(
            self._parts, lambda part, start, most: part.ids(start, most), lambda part: part.count(), offset, limit
        )

    async def read(self, letter_id: str) -> DeadLetter | None:
        """As in ``DeadLetterStore``. It says that its job is of the whole queue."""
        found = await read_available(self._parts, lambda part: part.read(letter_id))
        letter = next((each for each in found if each is not None), None)
        if letter is None or not isinstance(letter.data, dict):
            return letter
        queue = logical_name(str(letter.data.get("originalQueue", "")))
        return letter._replace(data={**letter.data, "originalQueue": queue})

    async def redrive(self, letter_id: str) -> str | None:
        """As in ``DeadLetterStore``."""
        return await find_answer(self._parts, lambda part: part.redrive(letter_id))
