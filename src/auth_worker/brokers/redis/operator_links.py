"""The connections of an operator: one for all queues, or in a cluster one for each hash tag."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from dataclasses import replace
from typing import Any, NamedTuple

from auth_worker.brokers.redis.wire.address import Address
from auth_worker.brokers.redis.wire.call_types import Call, OnReply
from auth_worker.brokers.redis.wire.link import Link
from auth_worker.brokers.redis.wire.pipeline import MANY_AT_ONCE
from auth_worker.errors import BrokerUnavailableError
from auth_worker.system.several_attempts import wait_for_most

SHARED_TAG = "auth-worker"
"""The hash tag of what belongs to no single queue, in a cluster whose prefix has none."""
PATIENCE_S = 2.0
"""How long (s) the first call waits until its node is connected."""

PRIMARIES_S = 10.0
"""How long (s) the places of the primaries are kept."""


def shared_address(address: Address, prefix: str) -> Address:
    """Return the address of what belongs to no single queue. Raises ``ConfigurationError`` for a wrong prefix."""
    if address.cluster and "{" not in prefix:
        return replace(address, tag=SHARED_TAG)
    return address.serving(prefix)


class LateLink(Link):
    """A link that connects when it is first used, until it is stopped."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._turn = asyncio.Lock()
        self._is_over = False
        self._sending: set[asyncio.Task[None]] = set()

    async def stop(self) -> None:
        """As in ``Link``."""
        self._is_over = True
        await super().stop()

    async def execute(self, *args: str | int | float | bytes) -> Any:
        """As in ``Link``."""
        await self.begin_once()
        return await super().execute(*args)

    def send_call(self, call: Call, on_reply: OnReply) -> None:
        """As in ``Link``."""
        if self.is_up:
            super().send_call(call, on_reply)
        else:
            self._send_later(super().send_call, call, on_reply)

    def send_transaction(self, commands: list[bytes], on_reply: OnReply) -> None:
        """As in ``Link``."""
        if self.is_up:
            super().send_transaction(commands, on_reply)
        else:
            self._send_later(super().send_transaction, commands, on_reply)

    def _send_later(self, send: Any, what: Any, on_reply: OnReply) -> None:
        async def connect_and_send() -> None:
            await self.begin_once()
            send(what, on_reply)

        task = asyncio.create_task(connect_and_send(), name=f"send on {self.name}")
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def begin_once(self) -> None:
        """Begin to connect, and wait for it a moment. Later calls find it connected, or fail at once."""
        if self.is_up:
            return
        async with self._turn:
            if self._keeping is None and not self._is_over:
                self.begin()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PATIENCE_S):
                        await self.wait_up()


class QueueLinks(NamedTuple):
    """The connections for one queue; on ``redrive_link`` keys are watched, by whoever holds ``redrive_lock``."""

    link: LateLink
    redrive_link: LateLink
    redrive_lock: asyncio.Lock


class OperatorLinks:
    """The connections of an operator to the queues under ``prefix``.

    ``is_spread``: the queues are on several nodes, each has a hash tag of its own, and is connected to when it is
    used. Raises ``ConfigurationError`` for a prefix that no cluster can have.
    """

    def __init__(self, address: Address, prefix: str) -> None:
        self.address = shared_address(address, prefix)
        self.is_spread = bool(address.cluster) and self.address.tag == SHARED_TAG
        self._prefix = prefix
        self.main = self._new(self.address, "operations")
        self._by_tag = {
            self.address.tag: QueueLinks(self.main, self._new(self.address, "redrives"), asyncio.Lock())
        }
        self._nodes: dict[tuple[str, int], LateLink] = {}
        self._primaries: tuple[float, list[Address]] = -math.inf, []

    async def start(self, timeout: float) -> None:
        """Connect, and stay connected. Raises ``BrokerError`` after ``timeout`` s without Redis."""
        deadline = time.monotonic() + timeout
        if self.is_spread:
            await self._start_spread(timeout)
            return
        await self.main.start(timeout)
        try:
            await self._by_tag[self.address.tag].redrive_link.start(max(deadline - time.monotonic(), 0))
        except BaseException:
            await self.main.stop()
            raise

    async def _start_spread(self, timeout: float) -> None:
        """Connect to one node at least. Raises ``BrokerError`` if there is none within ``timeout`` s."""
        try:
            async with asyncio.timeout(timeout):
                nodes = await self.to_each_node()
        except TimeoutError:
            raise BrokerUnavailableError(f"no node of {self.address} answers within {timeout:g} s") from None
        attempts = [asyncio.create_task(node.execute("PING")) for node in nodes]
        try:
            await wait_for_most(attempts, 0)
        finally:
            for attempt in attempts:
                attempt.cancel()
            await asyncio.gather(*attempts, return_exceptions=True)
        await asyncio.gather(*(link.begin_once() for link in self._by_tag[self.address.tag][:2]))

    @property
    def reachable(self) -> Link:
        """A connection that is up, if there is one: to the shared node, or else to another."""
        return next((link for link in (self.main, *self._nodes.values()) if link.is_up), self.main)

    async def stop(self) -> None:
        """Disconnect."""
        queues = [link for each in self._by_tag.values() for link in (each.link, each.redrive_link)]
        await asyncio.gather(*(link.stop() for link in [*queues, *self._nodes.values()]))

    def of(self, queue: str) -> QueueLinks:
        """Return the connections for a queue. Raises ``ConfigurationError`` if it lacks the hash tag it needs."""
        if not self.is_spread:
            return self._by_tag[self.address.tag]
        address = self.address.serving(self._prefix, queue)
        if address.tag not in self._by_tag:
            link = self._new(address, f"operations {address.tag}")
            redrive_link = self._new(address, f"redrives {address.tag}")
            self._by_tag[address.tag] = QueueLinks(link, redrive_link, asyncio.Lock())
        return self._by_tag[address.tag]

    async def to_each_node(self) -> list[Link]:
        """Return a connection to each node that has queues. Raises ``BrokerError``."""
        if not self.is_spread:
            return [self.main]
        if time.monotonic() - self._primaries[0] > PRIMARIES_S:
            self._primaries = time.monotonic(), await self.address.primaries()
        found: list[Link] = []
        for address in self._primaries[1]:
            place = address.host, address.port
            if place not in self._nodes:
                self._nodes[place] = self._new(address, f"node {address.host}:{address.port}")
            found.append(self._nodes[place])
        return found

    def _new(self, address: Address, name: str) -> LateLink:
        client_name = f"auth-worker:{name.partition(' ')[0]}"
        return LateLink(address, name=name, client_name=client_name, writes=False, at_once=MANY_AT_ONCE)
