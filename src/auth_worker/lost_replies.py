"""Lost replies: a fetch whose reply was lost may have locked a job for us; here it is found.

A job that is active and locked with a token whose answer never came is ours, and nobody else will run it before
its lock has expired. So after a reconnect the active jobs are looked through, at once and twice more, since the
server may carry out late what it had received; a job that is found is run as if its reply had come.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from auth_worker.broker.replies import Fetched
from auth_worker.broker.store import Store
from auth_worker.errors import BrokerError, BrokerUnavailableError

LOOKS = (0.0, 1.0, 9.0)
"""When (s after a reconnect) to look; after the first look the slots of the tokens are given new ones."""
REFUSED_PAUSE = 1.0
"""How long (s) until the next look where Redis is there, but refuses to tell."""
OnFound = Callable[[str, Fetched, float, bool], None]
"""Called with the token, the job, its lease time, and whether the token's slot has been given away already."""


class LostReplies:
    """The tokens of one queue whose answer was lost.

    ``held`` gives the ids of the jobs that run here or are being settled; ``on_missing`` is called once for each
    token that locked nothing.
    """

    def __init__(
        self, store: Store, *, held: Callable[[], set[str]], on_found: OnFound, on_missing: Callable[[], None]
    ) -> None:
        self._store = store
        self._held = held
        self._on_found = on_found
        self._on_missing = on_missing
        self._doubtful: set[str] = set()
        self._replaced: set[str] = set()
        self._looking: set[asyncio.Task[None]] = set()
        self._stopped = False

    def doubt(self, token: str) -> None:
        """The answer to ``token`` was lost."""
        self._doubtful.add(token)

    def recover(self) -> None:
        """The connection is back: look for the jobs."""
        doubtful, self._doubtful = self._doubtful, set()
        replaced, self._replaced = self._replaced, set()
        if doubtful:
            self._start(self._look(doubtful, given_away=False))
        if replaced:
            self._start(self._look(replaced, given_away=True))

    async def stop(self) -> None:
        """Look no more."""
        self._stopped = True
        for task in self._looking:
            task.cancel()
        await asyncio.gather(*self._looking, return_exceptions=True)

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        if self._stopped:
            coroutine.close()
            return
        task = asyncio.create_task(coroutine, name="lost replies")
        self._looking.add(task)
        task.add_done_callback(self._looking.discard)

    async def _look(self, tokens: set[str], *, given_away: bool) -> None:
        for delay in LOOKS:
            await asyncio.sleep(delay)
            sent, held = time.monotonic(), self._held()  # what is held now may be settled before the answer comes
            try:
                found = await self._store.fetched_by(tokens)
            except BrokerError as error:
                (self._replaced if given_away else self._doubtful).update(tokens)
                if not isinstance(error, BrokerUnavailableError):  # else the next reconnect looks again
                    asyncio.get_running_loop().call_later(REFUSED_PAUSE, self.recover)
                return
            for token, fetched in found:
                if fetched.job_id not in held | self._held():
                    tokens.discard(token)
                    self._on_found(token, fetched, sent, given_away)
            if not given_away:
                given_away = True
                for _ in tokens:
                    self._on_missing()
