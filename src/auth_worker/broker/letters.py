"""The dead-letter queue as Redis sees it: adding a letter together with its job's last move."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from auth_worker.broker.scripts import Script, builders, script
from auth_worker.broker.wire import pack
from auth_worker.dead_letter import Letter
from auth_worker.outcome import encode_json

ADD_LETTER = script("addStandardJob", "lock")
Guard = tuple[bytes, str]
"""A lock's key, and the token it must hold."""


class LetterBox:
    """The dead-letter queue ``queue``, for writing."""

    def __init__(self, prefix: str, queue: str) -> None:
        self.queue = queue
        self._builders = builders(prefix, queue, _never)

    def key(self, letter: Letter) -> bytes:
        """The key of a letter's hash."""
        return str(self._builders.toKey(letter.id)).encode()

    def add_call(self, letter: Letter) -> tuple[list[Any], list[Any]]:
        """Keys and arguments that add ``letter`` as a job. Source: addStandardJob-9.lua.

        An id that exists already is left alone.
        """
        names = ["wait", "paused", "meta", "id", "completed", "delayed", "active", "events", "marker"]
        packed, _, options = self._builders.addJobArgs(_job_of(letter))
        return self._builders.getKeys(names), [packed, encode_json(letter.data), options, letter.timestamp]

    def add_command(self, letter: Letter, guard: Guard) -> bytes:
        """The command that adds ``letter`` if the guard's lock holds its token."""
        lock, token = guard
        keys, args = self.add_call(letter)
        return pack("EVALSHA", ADD_LETTER.sha, len(keys) + 1, *keys, lock, *args, token)


def _job_of(letter: Letter) -> SimpleNamespace:
    """What the official builder reads of a job."""
    return SimpleNamespace(
        id=letter.id,
        name=letter.name,
        data=None,
        opts={"jobId": letter.id, "attempts": 0, "delay": 0},
        timestamp=letter.timestamp,
        parent=None,
        parentKey=None,
        repeatJobKey=None,
        deduplication_id=None,
    )


async def _never(called: Script, keys: list[Any], args: list[Any]) -> None:
    raise AssertionError("a letter is added in its job's transaction, never alone")
