"""The doorbell: one blocking BZPOPMIN on the markers of all queues with a free slot.

BullMQ puts a member into a queue's ``marker`` whenever there may be a job, and whoever pops it looks. A queue is
watched until it rings, and again after it has been found empty, so that a busy queue costs the doorbell nothing. A
client that is frozen or half disconnected can swallow a marker. So every watched queue also rings when the
blocking wait ends without one, and after a reconnect.
"""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import Any

from auth_worker.brokers.redis.wire.link import Link
from auth_worker.brokers.redis.wire.resp import pack
from auth_worker.core.ports.worker import OnRing
from auth_worker.errors import BrokerError

BLOCK_S = 5.0
BLIND_BLOCK_S = 0.5
"""The blocking time if Redis does not let us end a wait early (no CLIENT UNBLOCK)."""
UNBLOCK_PAUSE_S = 0.01


class Doorbell:
    """Rings for queues. ``link`` is its own, since it blocks; a wait is ended early on ``commands``."""

    def __init__(self, link: Link, commands: Link) -> None:
        self._link = link
        self._commands = commands
        self._watched: dict[bytes, OnRing] = {}
        self._listening: frozenset[bytes] = frozenset()
        self._waits = 0
        """How many waits have ended."""
        self._anyone = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start listening."""
        self._task = asyncio.create_task(self._listen(), name="doorbell")

    async def stop(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def watch(self, key: bytes, on_ring: OnRing) -> None:
        """Ring once when ``key`` gets a marker."""
        self._watched[key] = on_ring
        self._anyone.set()
        if self._listening and key not in self._listening:
            self._end_wait()

    def unwatch(self, key: bytes) -> None:
        """Stop ringing for ``key``, and leave its markers to other workers."""
        self._watched.pop(key, None)
        if not self._watched:
            self._anyone.clear()
        if key in self._listening:
            self._end_wait()

    def _end_wait(self) -> None:
        """End the blocking wait early, since the watched keys have changed."""
        if self._link.client_id:
            self._listening = frozenset()
            self._unblock(self._waits)

    def _unblock(self, wait: int) -> None:
        if wait == self._waits:
            unblock = pack("CLIENT", "UNBLOCK", self._link.client_id)
            self._commands.send(unblock, partial(self._unblocked, wait))

    def _unblocked(self, wait: int, reply: Any) -> None:
        """Try again if nothing was unblocked: the wait, on the other connection, may not have begun yet."""
        if reply == 0 and wait == self._waits:
            asyncio.get_running_loop().call_later(UNBLOCK_PAUSE_S, self._unblock, wait)

    async def _listen(self) -> None:
        while True:
            await self._anyone.wait()
            if not self._link.is_up:
                await self._link.wait_up()
                self._ring_all()
                continue
            keys = list(self._watched)
            block = BLOCK_S if self._link.client_id else BLIND_BLOCK_S
            self._listening = frozenset(keys)
            heard: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            self._link.send(pack("BZPOPMIN", *keys, block), partial(self._heard, heard))
            if not await heard:
                await asyncio.sleep(0.2)
                self._ring_all()

    def _heard(self, heard: asyncio.Future[bool], popped: list[Any] | BrokerError | None) -> None:
        """Ring the queue whose marker the wait ``popped``. Sets ``heard`` to whether it ended well."""
        self._waits += 1
        unblocked = not self._listening
        self._listening = frozenset()
        if isinstance(popped, list):
            key, member, score = popped
            if key in self._watched:
                self._ring(key, 0.0 if member == b"0" else float(score))
            else:  # nobody here wants it any more: somebody else may
                self._commands.send(pack("ZADD", key, score, member), _ignore)
        elif popped is None and not unblocked:
            self._ring_all()
        if not heard.done():
            heard.set_result(not isinstance(popped, BrokerError))

    def _ring(self, key: bytes, due: float) -> None:
        on_ring = self._watched.get(key)
        if on_ring is not None:
            self.unwatch(key)
            on_ring(due)

    def _ring_all(self) -> None:
        for key in list(self._watched):
            self._ring(key, 0.0)


def _ignore(reply: Any) -> None:
    """Ignore the reply to a marker that was given back."""
