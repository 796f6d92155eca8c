"""Finds the jobs that a fetch has locked for us although its reply was lost.

A job that is active, and locked with a token whose reply never arrived, is ours: no other worker runs it before
its lock expires. So after a reconnect the active jobs are searched, at once and twice more, since the server may
still execute what it had received. A job that is found runs as if its reply had arrived.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from auth_worker.core.ports.worker import Taken, WorkerBroker
from auth_worker.errors import BrokerError, BrokerUnavailableError

LOOKS = (0.0, 1.0, 9.0)
"""When (s after a reconnect) to search. After the first search the slots get new tokens."""
REFUSED_PAUSE = 1.0
"""How long (s) until the next search if the broker is up but refuses to answer."""
OnFound = Callable[[str, Taken, float, bool], None]
"""Called with the token, the job, its lease time, and whether the token's slot has been given away already."""


class ReplyRecovery:
    """The tokens of one queue whose reply was lost.

    ``held`` returns partition and id of the jobs that run here or are being settled. ``on_missing`` is called once
    with each token for which no job is found.
    """

    def __init__(
        self,
        broker: WorkerBroker,
        *,
        held: Callable[[], set[tuple[int, str]]],
        on_found: OnFound,
        on_missing: Callable[[str], None],
    ) -> None:
        self._broker = broker
        self._held = held
        self._on_found = on_found
        self._on_missing = on_missing
        self._lost: set[str] = set()
        self._replaced: set[str] = set()
        self._looking: set[asyncio.Task[None]] = set()
        self._stopped = False

    def add_lost(self, token: str) -> None:
        """Remember a ``token`` whose reply was lost."""
        self._lost.add(token)

    def recover(self) -> None:
        """Search for the jobs, after a reconnect."""
        lost, self._lost = self._lost, set()
        replaced, self._replaced = self._replaced, set()
        if lost:
            self._start(self._look(lost, given_away=False))
        if replaced:
            self._start(self._look(replaced, given_away=True))

    async def stop(self) -> None:
        """Stop searching."""
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
                found, unsearched = await self._broker.find_unanswered(tokens)
            except BrokerError as error:
                (self._replaced if given_away else self._lost).update(tokens)
                if not isinstance(error, BrokerUnavailableError):  # else the next reconnect looks again
                    asyncio.get_running_loop().call_later(REFUSED_PAUSE, self.recover)
                return
            for token, taken in found:
                if (taken.job.partition, taken.job.id) not in held | self._held():
                    tokens.discard(token)
                    self._on_found(token, taken, sent, given_away)
            if not given_away:
                given_away = True
                for token in tokens:
                    self._on_missing(token)
            self._replaced.update(unsearched)
            tokens -= unsearched
