"""Redrives and purges dead letters: one, or many in batches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from auth_worker.admin.bulk import Steps, in_batches, only_jobs, recorded
from auth_worker.admin.dead_letter_queries import MOST_NOTES, DeadLetterQueries
from auth_worker.admin.errors import RefusedError
from auth_worker.admin.models import Change
from auth_worker.core.dead_letter import is_dead_letter_id
from auth_worker.core.ports.operator import OperatorBroker
from auth_worker.core.ports.values import ChangeResult
from auth_worker.errors import ConfigurationError

LONGEST_NOTE = 1000
"""How many characters a note on a dead letter may have."""
NO_DEAD_LETTER = "there is no such dead letter"


class DeadLetterOperations(DeadLetterQueries):
    """Reads and changes the dead letters of all queues of ``broker``."""

    def __init__(self, broker: OperatorBroker, record: Callable[[Change], None], who: Callable[[], str]) -> None:
        super().__init__(broker)
        self._record = record
        self._who = who

    async def add_note(self, queue: str, letter_id: str, note: str) -> None:
        """Add a note to a dead letter, with the time and who made it. It goes with the dead letter.

        It is stored as a line of the log of the dead letter, which is a job, so that other tools show it too.
        Raises ``ConfigurationError`` for a note that is empty or too long, ``NotFoundError``, ``BrokerError``.
        """
        text = " ".join(note.split())
        if not text or len(text) > LONGEST_NOTE:
            raise ConfigurationError(f"a note has 1 to {LONGEST_NOTE} characters")
        line = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {self._who()}: {text}"
        there = await self._is_there(queue, letter_id)
        if not there or not await self._broker.job_changes(queue).add_log(letter_id, line, MOST_NOTES):
            raise await self._missing(queue, letter_id)
        self._record(Change(action="add note", queue=queue, target=letter_id))

    async def discard(self, queue: str, letter_id: str) -> None:
        """Remove a dead letter, but not its job. Raises ``NotFoundError``, ``RefusedError``, ``BrokerError``."""
        if not await self._is_there(queue, letter_id):
            raise await self._missing(queue, letter_id)
        if await self._broker.job_changes(queue).remove(letter_id) is not ChangeResult.DONE:
            raise RefusedError(f"dead letter {letter_id} cannot be purged: a worker is processing it")
        self._record(Change(action="purge", queue=queue, target=letter_id))

    async def redrive(self, queue: str, letter_id: str) -> str:
        """Let a dead letter's job run again with fresh attempts, and return the job's id.

        Raises ``NotFoundError`` if it is gone, ``RefusedError`` if its job cannot run, ``BrokerError``.
        """
        problem, job_id = await self._redrive(queue, letter_id)
        if job_id is None:
            raise await self._missing(queue, letter_id)
        if problem is not None:
            raise RefusedError(problem)
        self._record(Change(action="redrive", queue=queue, target=letter_id))
        return job_id

    def redrive_many(self, queue: str, letter_ids: Sequence[str], rate: float | None = None) -> Steps:
        """Redrive these dead letters, at most ``rate`` a second. Raises ``BrokerError``."""

        async def act(batch: Sequence[str]) -> list[str | None]:
            return [(await self._redrive(queue, letter_id))[0] for letter_id in batch]

        steps = in_batches(self._broker, letter_ids, act, rate)
        return recorded(steps, self._record, "redrive", queue, _named(letter_ids))

    def purge(self, queue: str, letter_ids: Sequence[str], rate: float | None = None) -> Steps:
        """Remove these dead letters, but not their jobs, at most ``rate`` a second. Raises ``BrokerError``."""
        changes = self._broker.job_changes(queue)

        async def one(letter_id: str) -> str | None:
            if not is_dead_letter_id(letter_id):
                return NO_DEAD_LETTER
            removed = await changes.remove(letter_id) is ChangeResult.DONE
            return None if removed else ChangeResult.LOCKED.value

        async def act(batch: Sequence[str]) -> list[str | None]:
            return list(await asyncio.gather(*map(one, batch)))

        guarded = only_jobs(self._broker.jobs(queue), act)
        steps = in_batches(self._broker, letter_ids, guarded, rate)
        return recorded(steps, self._record, "purge", queue, _named(letter_ids))

    async def _redrive(self, queue: str, letter_id: str) -> tuple[str | None, str | None]:
        """Redrive one, and return what is wrong, if anything, and the job's id."""
        if not await self._is_there(queue, letter_id):
            return f"there is no dead letter {letter_id} in {queue}", None
        try:
            job_id = await self._broker.dead_letters(queue).redrive(letter_id)
        except ConfigurationError as error:
            return str(error), letter_id
        except ValueError:
            return "it cannot be read, so its job cannot run", letter_id
        return (None, job_id) if job_id is not None else (f"there is no dead letter {letter_id} in {queue}", None)


def _named(ids: Sequence[str]) -> str:
    return ids[0] if len(ids) == 1 else f"{len(ids)} dead letters"
