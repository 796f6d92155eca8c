"""Reads the state that every job ended in, and lists what is wrong with it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

LISTS = ("wait", "active", "paused")
SETS = ("delayed", "prioritized", "waiting-children", "completed", "failed")
UNREADABLE = "unreadable"
"""In place of a job's data where the stored bytes are no JSON: its letter keeps them raw."""


@dataclass(frozen=True)
class FinalStates:
    """One queue at rest: the ids in each state, the locks that are left, and the dead letters."""

    places: Mapping[str, list[str]]
    locks: list[str]
    letters: list[dict[str, Any]]

    @property
    def completed(self) -> set[str]:
        """The ids of the jobs that completed."""
        return set(self.places["completed"])

    @property
    def dead(self) -> dict[str, str]:
        """The reason class of each dead letter, by the job's id."""
        return {letter["originalJobId"]: letter["reasonClass"] for letter in self.letters}

    def violations(self, accepted: Mapping[str, Any]) -> list[str]:
        """What is wrong, in words, with ``accepted`` the data of every job by its id; an empty list is right."""
        return [*self._of_places(accepted), *self._of_letters(accepted)]

    def _of_places(self, accepted: Mapping[str, Any]) -> Iterator[str]:
        everywhere = Counter(job_id for ids in self.places.values() for job_id in ids)
        yield from (f"{job_id} stands in {count} places" for job_id, count in everywhere.items() if count > 1)
        yield from (f"{job_id} is lost" for job_id in accepted if job_id not in everywhere)
        for state, ids in self.places.items():
            if state not in ("completed", "failed"):
                yield from (f"{job_id} is still in {state}" for job_id in ids)
        yield from (f"{key} is left" for key in self.locks)

    def _of_letters(self, accepted: Mapping[str, Any]) -> Iterator[str]:
        letters = Counter(letter["originalJobId"] for letter in self.letters)
        failed = set(self.places["failed"])
        yield from (f"{job_id} has {count} letters" for job_id, count in letters.items() if count > 1)
        yield from (f"{job_id} failed without a letter" for job_id in failed - set(letters))
        yield from (f"{job_id} has a letter, but did not fail" for job_id in set(letters) - failed)
        for letter in self.letters:
            data = accepted.get(letter["originalJobId"], letter["data"])
            if data == UNREADABLE:
                if "raw" not in letter:
                    yield f"the letter of {letter['originalJobId']} lacks the raw bytes"
            elif letter["data"] != data:
                yield f"the letter of {letter['originalJobId']} has other data"


async def read_final_states(redis: Any, queue: str, dead: str) -> FinalStates:
    """Read the final states of a queue. ``redis``: a redis.asyncio client that returns bytes."""
    places: dict[str, list[str]] = {}
    for state in LISTS:
        places[state] = _texts(await redis.lrange(f"bull:{queue}:{state}", 0, -1))
    for state in SETS:
        places[state] = _texts(await redis.zrange(f"bull:{queue}:{state}", 0, -1))
    locks = [key.decode() async for key in redis.scan_iter(f"bull:{queue}:*:lock", count=1000)]
    ids = await redis.lrange(f"bull:{dead}:wait", 0, -1)
    letters = [json.loads(await redis.hget(f"bull:{dead}:{letter.decode()}", "data")) for letter in ids]
    return FinalStates(places, locks, letters)


def _texts(ids: list[bytes]) -> list[str]:
    return [job_id.decode() for job_id in ids]
