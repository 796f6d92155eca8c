"""A Redis Cluster of real processes with little memory each: primaries, and optionally a replica of each."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import ExitStack
from typing import Any, Self

from redis.asyncio import Redis
from redis.crc import key_slot

from support.processors import eventually
from support.servers import Server, free_port

SLOTS = 16384
NODE_TIMEOUT_MS = 1000
FORMED_WITHIN_S = 30.0


class Node(Server):
    """A node that has not joined a cluster yet."""

    def __init__(self, *, appendonly: bool = False) -> None:
        self.bus_port = free_port()
        super().__init__(
            appendonly=appendonly,
            config={
                "appendfsync": "always",
                "cluster-enabled": "yes",
                "cluster-port": self.bus_port,
                "cluster-node-timeout": NODE_TIMEOUT_MS,
                "cluster-require-full-coverage": "no",
                "repl-diskless-sync-delay": 0,
            },
        )

    def take_other_ports(self) -> None:
        """As in ``Server``, for the bus of the cluster too."""
        super().take_other_ports()
        self.bus_port = free_port()
        self._config["cluster-port"] = self.bus_port

    async def do(self, *command: str | int | bytes) -> Any:
        """Send this node a command. Texts in the reply are str."""
        async with Redis(port=self.port, decode_responses=True) as redis:
            return await redis.execute_command(*command)  # type: ignore[no-untyped-call]


class Cluster:
    """A cluster of ``primaries`` and as many ``replicas``, one for each, or none.

    ``appendonly``: whether primaries keep an AOF, so that one that was killed finds its data when it starts again.
    """

    def __init__(self, primaries: int, *, replicated: bool, appendonly: bool = False) -> None:
        self._servers = ExitStack()
        self.primaries = [Node(appendonly=appendonly) for _ in range(primaries)]
        self.replicas = [Node() for _ in range(primaries if replicated else 0)]
        share = SLOTS // primaries
        self._firsts = [number * share for number in range(primaries)] + [SLOTS]

    @property
    def url(self) -> str:
        """The URL of the cluster."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.primaries)

    def tag_at(self, number: int) -> str:
        """Return a hash tag that the primary ``number`` has initially."""
        first, end = self._firsts[number : number + 2]
        return next(tag for tag in map("t{}".format, itertools.count()) if first <= key_slot(tag.encode()) < end)

    async def __aenter__(self) -> Self:
        nodes = [*self.primaries, *self.replicas]
        for node in nodes:
            self._servers.enter_context(node)
        for node, (first, end) in zip(self.primaries, itertools.pairwise(self._firsts), strict=True):
            await node.do("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
        for node in nodes[1:]:
            await nodes[0].do("CLUSTER", "MEET", "127.0.0.1", node.port, node.bus_port)
        await eventually(self._formed, "every node knows every node", FORMED_WITHIN_S)
        for primary, replica in zip(self.primaries, self.replicas, strict=False):
            await replica.do("CLUSTER", "REPLICATE", await primary.do("CLUSTER", "MYID"))
        await eventually(self._replicated, "every replica has caught up", FORMED_WITHIN_S)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._servers.close()

    async def move(self, tag: str, source: Node, target: Node) -> None:
        """Move the slot of ``tag``, key by key, to another primary."""
        slot = key_slot(tag.encode())
        source_id, target_id = [await node.do("CLUSTER", "MYID") for node in (source, target)]
        await target.do("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
        await source.do("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
        while keys := await source.do("CLUSTER", "GETKEYSINSLOT", slot, 20):
            await source.do("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "REPLACE", "KEYS", *keys)
            await asyncio.sleep(0.01)
        for node in (target, source):
            await node.do("CLUSTER", "SETSLOT", slot, "NODE", target_id)

    async def _formed(self) -> bool:
        nodes = [*self.primaries, *self.replicas]
        states = [await node.do("CLUSTER", "INFO") for node in nodes]
        wanted = ("cluster_state:ok", f"cluster_known_nodes:{len(nodes)}")
        return all(line in state for state in states for line in wanted)

    async def _replicated(self) -> bool:
        roles = [await replica.do("ROLE") for replica in self.replicas]
        return all(role[0] == "slave" and role[3] == "connected" for role in roles)
