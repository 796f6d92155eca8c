"""The connections of an operator: one for all queues, or in a cluster one for each hash tag."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from auth_worker.brokers.redis.wire.address import Address
from auth_worker.brokers.redis.wire.call_types import Call, OnReply
from auth_worker.brokers.redis.wire.link import Link
from auth_worker.brokers.redis.wire.pipeline import MANY_AT_ONCE
from auth_worker.errors import BrokerError

LinkKind = TypeVar("LinkKind", bound=Link)
SHARED_TAG = "auth-worker"
"""The hash tag of what belongs to no single queue, in a cluster whose prefix has none."""
LATE_TIMEOUT_S = 2.0
"""How long (s) to connect to a node on demand."""


def shared_address(address: Address, prefix: str) -> Address:
    """Return the address of what belongs to no single queue. Raises ``ConfigurationError`` for a wrong prefix."""
    if address.cluster and "{" not in prefix:
        return replace(address, tag=SHARED_TAG)
    return address.serving(prefix)


class LateLink(Link):
    """A link that connects when it is first used."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._turn = asyncio.Lock()
        self._sending: set[asyncio.Task[None]] = set()

    async def execute(self, *args: str | int | float | bytes) -> Any:
        """As in ``Link``."""
        await self._start_once()
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
            try:
                await self._start_once()
            except BrokerError as error:
                on_reply(error)
            else:
                send(what, on_reply)

        task = asyncio.create_task(connect_and_send(), name=f"send on {self.name}")
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _start_once(self) -> None:
        if not self.is_up:
            async with self._turn:
                if self._keeping is None or self._keeping.done():
                    await self.start(LATE_TIMEOUT_S)


class QueueLinks(NamedTuple):
    """The connections for one queue: ``link``, and ``redrives``, used in ``turn``, on which keys are watched."""

    link: Link
    redrives: Link
    turn: asyncio.Lock


class OperatorLinks:
    """The connections of an operator to the queues under ``prefix``.

    ``is_spread``: the queues are on several nodes, each has a hash tag of its own, and is connected to when it is
    used. Raises ``ConfigurationError`` for a prefix that no cluster can have.
    """

    def __init__(self, address: Address, prefix: str) -> None:
        self.address = shared_address(address, prefix)
        self.is_spread = bool(address.cluster) and self.address.tag == SHARED_TAG
        self._prefix = prefix
        self.main = self._new(Link, self.address, "operations")
        self._by_tag = {
            self.address.tag: QueueLinks(self.main, self._new(Link, self.address, "redrives"), asyncio.Lock())
        }
        self._nodes: dict[tuple[str, int], LateLink] = {}

    async def start(self, timeout: float) -> None:
        """Connect, and stay connected. Raises ``BrokerError`` after ``timeout`` s without Redis."""
        deadline = time.monotonic() + timeout
        await self.main.start(timeout)
        try:
            await self._by_tag[self.address.tag].redrives.start(max(deadline - time.monotonic(), 0))
        except BaseException:
            await self.main.stop()
            raise

    async def stop(self) -> None:
        """Disconnect."""
        queues = [link for each in self._by_tag.values() for link in (each.link, each.redrives)]
        await asyncio.gather(*(link.stop() for link in [*queues, *self._nodes.values()]))

    def of(self, queue: str) -> QueueLinks:
        """Return the connections for a queue. Raises ``ConfigurationError`` if it lacks the hash tag it needs."""
        if not self.is_spread:
            return self._by_tag[self.address.tag]
        address = self.address.serving(self._prefix, queue)
        if address.tag not in self._by_tag:
            link = self._new(LateLink, address, f"operations {address.tag}")
            redrives = self._new(LateLink, address, f"redrives {address.tag}")
            self._by_tag[address.tag] = QueueLinks(link, redrives, asyncio.Lock())
        return self._by_tag[address.tag]

    async def to_each_node(self) -> list[Link]:
        """Return a connection to each node that has queues. Raises ``BrokerError``."""
        if not self.is_spread:
            return [self.main]
        found: list[Link] = []
        for address in await self.address.primaries():
            place = address.host, address.port
            if place not in self._nodes:
                self._nodes[place] = self._new(LateLink, address, f"node {address.host}:{address.port}")
            found.append(self._nodes[place])
        return found

    def _new(self, kind: type[LinkKind], address: Address, name: str) -> LinkKind:
        client_name = f"auth-worker:{name.partition(' ')[0]}"
        return kind(address, name=name, client_name=client_name, writes=False, at_once=MANY_AT_ONCE)
