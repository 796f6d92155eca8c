"""The dead letters of a queue: written together with their job's last move; counted, read, redriven and purged.

A redrive moves the original job and removes its dead letter in one MULTI/EXEC under WATCH. Whatever happens in
between, and however often it is requested, the result is one job and no dead letter, or no change. WATCH belongs
to a connection, so redrives need a link of their own.
"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from auth_worker.brokers.redis.additions import Additions
from auth_worker.brokers.redis.decode import earlier_traces, payload_of
from auth_worker.brokers.redis.retries import retry_call
from auth_worker.brokers.redis.scripts.loader import Script, builders, script, take_call, whole_call
from auth_worker.brokers.redis.text_codec import exact_text
from auth_worker.brokers.redis.wire.link import Link
from auth_worker.brokers.redis.wire.resp import pack
from auth_worker.brokers.redis.wire.transactions import run_transaction
from auth_worker.core.clock import now_ms
from auth_worker.core.coercion import is_truthy, stored_number
from auth_worker.core.dead_letter import DeadLetter, check_dead_letter, is_dead_letter_id, make_dead_letter
from auth_worker.core.json_codec import decode_json, encode_json
from auth_worker.core.keys import job_key, key_prefix
from auth_worker.core.outcome import Fail, ReasonClass
from auth_worker.core.policy import read_options
from auth_worker.core.run import Run
from auth_worker.core.worker_config import WorkerConfig
from auth_worker.errors import ConfigurationError

PAGE, COUNTED_PAGE = 200, 1000
"""How many ids to read at a time, to purge dead letters and to count."""
TELEMETRY_KEYS = {"telemetryMetadata": "tm", "omitContext": "omc"}
"""The short keys of BullMQ's options that the official builder does not write."""
ADD_DEAD_LETTER = script("addStandardJob", "lock")
Guard = tuple[bytes, str]
"""A lock's key, and the token it must hold."""


class DeadLetterWriter:
    """Writes dead letters to ``queue``."""

    def __init__(self, prefix: str, queue: str) -> None:
        self.queue = queue
        self._builders = builders(prefix, queue, _never)

    def key(self, letter: DeadLetter) -> bytes:
        """Return the key of a dead letter's hash."""
        return str(self._builders.toKey(letter.id)).encode()

    def add_call(self, letter: DeadLetter) -> tuple[list[Any], list[Any]]:
        """Return keys and arguments of the call that adds ``letter`` as a job. Source: addStandardJob-9.lua.

        If the id exists already, nothing is changed.
        """
        names = ["wait", "paused", "meta", "id", "completed", "delayed", "active", "events", "marker"]
        packed, _, options = self._builders.addJobArgs(_job_of(letter))
        return self._builders.getKeys(names), [packed, encode_json(letter.data), options, letter.timestamp]

    def add_command(self, letter: DeadLetter, guard: Guard) -> bytes:
        """Return the command that adds ``letter`` if the guard's lock holds its token."""
        lock, token = guard
        keys, args = self.add_call(letter)
        return pack("EVALSHA", ADD_DEAD_LETTER.sha, len(keys) + 1, *keys, lock, *args, token)


class DeadLetterWriters:
    """The writers of the dead letters of one queue, which go to ``otherwise`` unless ``config`` says where."""

    def __init__(self, prefix: str, config: WorkerConfig, otherwise: str | None) -> None:
        self.queues = config.all_dead_letter_queues(otherwise)
        self._config = config
        self._otherwise = otherwise
        self._writers = {queue: DeadLetterWriter(prefix, queue) for queue in self.queues}

    def of(self, name: str, reason_class: str) -> DeadLetterWriter | None:
        """Return what writes the dead letter of a job of this name that failed so; None if it leaves none."""
        queue = self._config.dead_letter_queue(name, reason_class, self._otherwise)
        return None if queue is None else self._writers[queue]

    def writer_of(self, letter: DeadLetter) -> DeadLetterWriter:
        """Return what writes ``letter`` to its queue."""
        return self._writers[letter.queue]


class DeadLetters:
    """Reads, redrives and purges the dead letters in ``queue``: a ``DeadLetterStore``.

    Calls may overlap. Redrives take turns at the connection ``redrive_link`` (None: ``link``), on which nothing
    else may WATCH meanwhile.
    """

    def __init__(
        self,
        link: Link,
        prefix: str,
        queue: str,
        *,
        redrive_link: Link | None = None,
        redrive_lock: asyncio.Lock | None = None,
    ) -> None:
        """``redrive_lock`` is held during a redrive: those that share ``redrive_link`` share it."""
        self.queue = queue
        self._link = link
        self._redrive_link = redrive_link or link
        self._prefix = prefix
        self._key_prefix = key_prefix(prefix, queue)
        self._wait = f"{self._key_prefix}wait"
        self._builders: Any = builders(prefix, queue, take_call)
        self._redrive_lock = redrive_lock or asyncio.Lock()

    async def count(self) -> int:
        """Return the number of jobs that wait in the queue. Raises ``BrokerError``."""
        return int(await self._link.execute("LLEN", self._wait))

    async def count_if_any(self) -> int:
        """As ``count``, but 0 if neither the newest nor the oldest job is a dead letter.

        Raises ``BrokerError``.
        """
        for end in (0, -1):
            job_id = await self._link.execute("LINDEX", self._wait, end)
            if job_id is None:
                return 0
            if is_dead_letter_id(exact_text(job_id)):
                return await self.count()
        return 0

    async def ids(self, offset: int, limit: int) -> list[str]:
        """Return ``limit`` ids from ``offset`` on, the newest first. Raises ``BrokerError``."""
        ids = await self._link.execute("LRANGE", self._wait, offset, offset + limit - 1)
        return [letter_id.decode(errors="replace") for letter_id in ids]

    async def read(self, letter_id: str) -> DeadLetter | None:
        """Return a dead letter, without data if it cannot be read, or None. Raises ``BrokerError``."""
        try:
            return await self._read(letter_id)
        except (ValueError, RecursionError):  # somebody else wrote it
            return DeadLetter(letter_id, "unreadable", {}, 0)

    async def redrive(self, letter_id: str) -> str | None:
        """Let the job of a dead letter run again with fresh attempts. Returns its id, or None without a letter.

        A job that is still in the failed set goes back to wait; one that retention removed is added anew with its
        id. Raises ``ConfigurationError`` for a job that is no dead letter, ``ValueError`` for one that cannot be
        read, and ``BrokerError``.
        """
        async with self._redrive_lock:
            while True:
                letter = await self._read(letter_id)
                if letter is None:
                    return None
                check_dead_letter(letter)
                commands = await self._watch(letter)
                if await run_transaction(self._redrive_link, commands) is not None:
                    return str(letter.data["originalJobId"])

    async def purge(self, *, keep: int | None = None, older_than: float | None = None) -> int:
        """Remove all but the newest ``keep`` dead letters, and those older than ``older_than`` s; return how many.

        Other jobs that wait in the queue stay. Raises ``ConfigurationError`` if neither is given, and
        ``BrokerError``.
        """
        if keep is None and older_than is None:
            raise ConfigurationError("purge needs keep or older_than, to know which dead letters to remove")
        others = 0 if keep is None or await self.count() <= keep else await self._count_others()
        removed, left = 0, 0
        while ids := await self._link.execute("LRANGE", self._wait, -left - PAGE, -left - 1):
            surplus = 0 if keep is None else await self.count() - others - keep
            letters = [letter_id for letter_id in map(exact_text, reversed(ids)) if is_dead_letter_id(letter_id)]
            doomed = [
                letter_id
                for index, letter_id in enumerate(letters)
                if index < surplus or await self._is_older(letter_id, older_than)
            ]
            gone = 0
            for letter_id in doomed:
                gone += int(await self._link.call(*self._builders.remove(letter_id, False)) == 1)
            removed += gone
            left += len(ids) - gone
            if len(doomed) < len(letters):
                break
        return removed

    async def _count_others(self) -> int:
        """Return how many of the jobs that wait in the queue are no dead letters."""
        count, offset = 0, 0
        while ids := await self._link.execute("LRANGE", self._wait, offset, offset + COUNTED_PAGE - 1):
            count += sum(not is_dead_letter_id(exact_text(job_id)) for job_id in ids)
            offset += COUNTED_PAGE
        return count

    async def _read(self, letter_id: str) -> DeadLetter | None:
        fields = await self._link.execute("HMGET", f"{self._key_prefix}{letter_id}", "name", "data", "timestamp")
        name, data, timestamp = fields
        if data is None:
            return None
        return DeadLetter(letter_id, (name or b"").decode(), decode_json(data.decode()), int(timestamp or 0))

    async def _is_older(self, letter_id: str, older_than: float | None) -> bool:
        if older_than is None:
            return False
        stamp = await self._link.execute("HGET", f"{self._key_prefix}{letter_id}", "timestamp")
        added = stored_number(stamp)
        return added is not None and added < now_ms() - older_than * 1000

    async def _watch(self, letter: DeadLetter) -> list[bytes]:
        """Watch the keys, and return the commands that redrive ``letter``. EXEC refuses them if a key changes."""
        queue, job_id = letter.data["originalQueue"], letter.data["originalJobId"]
        key = job_key(self._prefix, queue, job_id)
        await self._redrive_link.execute("WATCH", f"{self._key_prefix}{letter.id}", key)
        remove = whole_call(self._builders.remove(letter.id, False))
        failed_at = await self._redrive_link.execute("ZSCORE", f"{key_prefix(self._prefix, queue)}failed", job_id)
        if failed_at is not None:
            lifo = is_truthy(letter.data["opts"].get("lifo"))
            return [whole_call(retry_call(self._prefix, queue, job_id, "failed", lifo=lifo)), remove]
        if await self._redrive_link.execute("EXISTS", key):
            return [remove]
        return [self._add_command(queue, job_id, letter), remove]

    def _add_command(self, queue: str, job_id: str, letter: DeadLetter) -> bytes:
        options = {
            TELEMETRY_KEYS.get(key, key): value
            for key, value in letter.data["opts"].items()
            if key not in ("delay", "repeat")
        }
        now = now_ms()
        job = letter.data["name"], encode_json(letter.data["data"]), job_id, now
        return whole_call(Additions(self._prefix, queue).build(job, options))


def dead_letter_of(
    run: Run, fail: Fail, finished_on: int, worker: str, *, queue: str, readable: bool = True
) -> DeadLetter:
    """Build the dead letter of a run's job of ``queue``, which ``worker`` gives up at ``finished_on`` (epoch ms).

    It holds the stored data, not what the consumer has made of it; as raw bytes if they are not ``readable``.
    """
    job, raw = run.job, run.stored
    readable = readable and not (fail.reason_class == ReasonClass.INVALID_PAYLOAD and job.data is None)
    stored = raw.get(b"data")
    data = decode_json(stored.decode()) if readable and stored is not None else job.data
    return make_dead_letter(
        queue=queue,
        job_id=job.id,
        name=raw.get(b"name", job.name.encode()).decode(errors="replace"),
        data=data if readable else None,
        opts=read_options(raw.get(b"opts", b"")) if readable else {},
        reason=fail.reason,
        reason_class=fail.reason_class,
        traces=[*earlier_traces(raw), fail.trace],
        attempts_made=job.attempt,
        finished_on=finished_on,
        worker=worker,
        raw=None if readable else payload_of(raw),
    )


def _job_of(letter: DeadLetter) -> SimpleNamespace:
    """Return what the official builder reads of a job."""
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
    raise AssertionError("a dead letter is added in its job's transaction, never alone")
