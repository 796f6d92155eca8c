"""Acting on dead letters: redriven or purged, one, or many in batches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from auth_worker.admin.bulk import Steps, in_batches, only_jobs, recorded
from auth_worker.admin.errors import NotFoundError, RefusedError
from auth_worker.admin.letters_read import LETTER_ID, LetterReading
from auth_worker.admin.models import Change
from auth_worker.broker.dead_letters import DeadLetters
from auth_worker.broker.job_changes import JobChanges
from auth_worker.broker.job_view import JobView
from auth_worker.broker.link import Link
from auth_worker.errors import ConfigurationError

NO_LETTER = "there is no such letter"


class DeadLetterOperations(LetterReading):
    """The dead letters of all queues under ``prefix``, to look at and to act on.

    ``link`` may be shared; ``watching`` is for redrives alone, which WATCH and so need it for themselves.
    """

    def __init__(self, link: Link, watching: Link, prefix: str, record: Callable[[Change], None]) -> None:
        super().__init__(link, prefix)
        self._watching = watching
        self._record = record
        self._turn = asyncio.Lock()

    async def discard(self, queue: str, letter_id: str) -> None:
        """Remove a letter; its job stays as it is. Raises ``NotFoundError``, ``RefusedError``, ``BrokerError``."""
        if not await self._is_there(queue, letter_id):
            raise NotFoundError(f"there is no letter {letter_id} in {queue}")
        if await JobChanges(self._link, self._prefix, queue).remove(letter_id) != 1:
            raise RefusedError(f"purge of letter {letter_id}: a worker has it")
        self._record(Change(action="purge", queue=queue, target=letter_id))

    async def redrive(self, queue: str, letter_id: str) -> str:
        """Let a letter's job run again with fresh attempts; returns the job's id.

        Raises ``NotFoundError`` if the letter is gone, ``RefusedError`` if its job cannot run, ``BrokerError``.
        """
        problem, job_id = await self._redrive(queue, letter_id)
        if problem is not None:
            raise (NotFoundError if job_id is None else RefusedError)(problem)
        self._record(Change(action="redrive", queue=queue, target=letter_id))
        return str(job_id)

    def redrive_many(self, queue: str, letter_ids: Sequence[str], rate: float | None = None) -> Steps:
        """Redrive these, at most ``rate`` a second. Raises ``BrokerError``."""

        async def act(batch: Sequence[str]) -> list[str | None]:
            return [(await self._redrive(queue, letter_id))[0] for letter_id in batch]

        steps = in_batches(self._link, letter_ids, act, rate)
        return recorded(steps, self._record, "redrive", queue, _named(letter_ids))

    def purge(self, queue: str, letter_ids: Sequence[str], rate: float | None = None) -> Steps:
        """Remove these letters, at most ``rate`` a second; their jobs stay as they are. Raises ``BrokerError``."""
        changes = JobChanges(self._link, self._prefix, queue)

        async def one(letter_id: str) -> str | None:
            if not LETTER_ID.fullmatch(letter_id):
                return NO_LETTER
            return None if await changes.remove(letter_id) == 1 else "a worker has it"

        async def act(batch: Sequence[str]) -> list[str | None]:
            return list(await asyncio.gather(*map(one, batch)))

        guarded = only_jobs(JobView(self._link, self._prefix, queue), act)
        steps = in_batches(self._link, letter_ids, guarded, rate)
        return recorded(steps, self._record, "purge", queue, _named(letter_ids))

    async def _redrive(self, queue: str, letter_id: str) -> tuple[str | None, str | None]:
        """What is wrong, and the job's id."""
        if not await self._is_there(queue, letter_id):
            return f"there is no letter {letter_id} in {queue}", None
        try:
            async with self._turn:
                job_id = await DeadLetters(self._watching, self._prefix, queue).redrive(letter_id)
        except ConfigurationError as error:
            return str(error), letter_id
        except ValueError:
            return "it cannot be read, so it cannot run", letter_id
        return (None, job_id) if job_id is not None else (f"there is no letter {letter_id} in {queue}", None)


def _named(ids: Sequence[str]) -> str:
    return ids[0] if len(ids) == 1 else f"{len(ids)} letters"
