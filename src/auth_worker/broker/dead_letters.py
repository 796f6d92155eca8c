"""The dead letters of a queue, for operators: count, list, show, redrive, purge.

A redrive moves the original job and removes its letter in one MULTI/EXEC under WATCH, so that whatever happens in
between, and however often it is asked for, there is one job and no letter, or the letter as before. WATCH belongs
to a connection, so this wants a link of its own.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from auth_worker.broker.additions import Additions
from auth_worker.broker.link import Link
from auth_worker.broker.scripts import Script, builders, take_call, whole_call
from auth_worker.broker.wire import error_of, is_error, pack
from auth_worker.dead_letter import MARK, Letter, check_letter
from auth_worker.errors import BrokerError, ConfigurationError
from auth_worker.options import decode_json
from auth_worker.outcome import encode_json

PAGE = 200
TELEMETRY_KEYS = {"telemetryMetadata": "tm", "omitContext": "omc"}
"""The short keys of BullMQ's options that the official builder does not write."""


class DeadLetters:
    """The dead-letter queue ``queue``. Calls may overlap; they take turns at the connection."""

    def __init__(self, link: Link, prefix: str, queue: str) -> None:
        self.queue = queue
        self._link = link
        self._prefix = prefix
        self._key_prefix = f"{prefix}:{queue}:"
        self._builders: Any = builders(prefix, queue, take_call)
        self._turn = asyncio.Lock()

    async def count(self) -> int:
        """How many letters wait. Raises ``BrokerError``."""
        return int(await self._link.execute("LLEN", f"{self._key_prefix}wait"))

    async def page(self, offset: int = 0, limit: int = 50) -> list[Letter]:
        """The letters from the newest on. Raises ``BrokerError``."""
        ids = await self._link.execute("LRANGE", f"{self._key_prefix}wait", offset, offset + limit - 1)
        letters = [await self.show(letter_id.decode()) for letter_id in ids]
        return [letter for letter in letters if letter is not None]

    async def show(self, letter_id: str) -> Letter | None:
        """One letter, or None if there is none of that id. Raises ``BrokerError``."""
        fields = await self._link.execute("HMGET", f"{self._key_prefix}{letter_id}", "name", "data", "timestamp")
        name, data, timestamp = fields
        if data is None:
            return None
        return Letter(letter_id, (name or b"").decode(), decode_json(data.decode()), int(timestamp or 0))

    async def redrive(self, letter_id: str) -> str | None:
        """Let the letter's job run again, with fresh attempts; returns the job's id, None if the letter is gone.

        A job that still stands in the failed set goes back to wait; one that retention removed is added anew with
        its id. Raises ``ConfigurationError`` for a job that is no letter, and ``BrokerError``.
        """
        async with self._turn:
            while True:
                letter = await self.show(letter_id)
                if letter is None:
                    return None
                check_letter(letter)
                commands = await self._watch(letter)
                if await self._execute(commands):
                    return str(letter.data["originalJobId"])

    async def purge(self, *, keep: int | None = None, older_than: float | None = None) -> int:
        """Remove the letters beyond the newest ``keep``, and those older than ``older_than`` s; returns how many.

        Raises ``ConfigurationError`` when neither is given, and ``BrokerError``.
        """
        if keep is None and older_than is None:
            raise ConfigurationError("purge needs keep or older_than: say which letters are to go")
        wait = f"{self._key_prefix}wait"
        removed = 0
        while ids := await self._link.execute("LRANGE", wait, -PAGE, -1):
            surplus = max(await self.count() - keep, 0) if keep is not None else 0
            doomed = [
                letter_id.decode()
                for index, letter_id in enumerate(reversed(ids))
                if index < surplus or await self._is_older(letter_id.decode(), older_than)
            ]
            for letter_id in doomed:
                await self._link.call(*self._builders.remove(letter_id, False))
            removed += len(doomed)
            if len(doomed) < len(ids):
                break
        return removed

    async def _is_older(self, letter_id: str, older_than: float | None) -> bool:
        if older_than is None:
            return False
        stamp = await self._link.execute("HGET", f"{self._key_prefix}{letter_id}", "timestamp")
        return (stamp or b"").isdigit() and int(stamp) < (time.time() - older_than) * 1000

    async def _watch(self, letter: Letter) -> list[bytes]:
        """The commands that redrive ``letter`` as things stand; EXEC refuses them if they change."""
        queue, job_id = letter.data["originalQueue"], letter.data["originalJobId"]
        job_key = f"{self._prefix}:{queue}:{job_id}"
        await self._link.execute("WATCH", f"{self._key_prefix}{letter.id}", job_key)
        remove = whole_call(self._builders.remove(letter.id, False))
        failed_at = await self._link.execute("ZSCORE", f"{self._prefix}:{queue}:failed", job_id)
        if failed_at is not None:
            return [
                pack("HDEL", job_key, "stc", "defa", MARK),
                await self._retry_command(queue, job_id, letter.data["opts"]),
                remove,
            ]
        if await self._link.execute("EXISTS", job_key):
            return [remove]
        return [self._add_command(queue, job_id, letter), remove]

    async def _retry_command(self, queue: str, job_id: str, opts: dict[str, Any]) -> bytes:
        """Source: reprocessJob-9.lua."""
        called: list[tuple[Script, list[Any], list[Any]]] = []

        async def take(script: Script, keys: list[Any], args: list[Any]) -> int:
            called.append((script, keys, args))
            return 1

        job = _JobName(job_id, opts)
        reset = {"resetAttemptsMade": True, "resetAttemptsStarted": True}
        await builders(self._prefix, queue, take).reprocessJob(job, "failed", reset)
        return whole_call(called[0])

    def _add_command(self, queue: str, job_id: str, letter: Letter) -> bytes:
        options = {
            TELEMETRY_KEYS.get(key, key): value
            for key, value in letter.data["opts"].items()
            if key not in ("delay", "repeat")
        }
        now = round(time.time() * 1000)
        job = letter.data["name"], encode_json(letter.data["data"]), job_id, now
        return whole_call(Additions(self._prefix, queue).build(job, options))

    async def _execute(self, commands: list[bytes]) -> bool:
        """Run the transaction. False if somebody changed what was watched. Raises ``BrokerError``."""
        replies: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def replied(reply: Any) -> None:
            if not replies.done():
                replies.set_result(reply)

        self._link.send_transaction(commands, replied)
        answer = await replies
        if isinstance(answer, BrokerError):
            raise answer
        for reply in answer or ():
            if is_error(reply):
                raise error_of(reply)
        return answer is not None


class _JobName:
    """What the builder of reprocessJob reads of a job."""

    def __init__(self, job_id: str, opts: dict[str, Any]) -> None:
        self.id = job_id
        self.opts = opts
