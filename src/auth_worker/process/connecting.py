"""Connects a service to its brokers: one, or in a cluster each node that has queues of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from auth_worker.core.ports.connections import WorkerConnections
from auth_worker.errors import BrokerUnavailableError
from auth_worker.system.loop_thread import LoopThread
from auth_worker.system.several_attempts import wait_for_most

NODE_PATIENCE_S = 2.0
"""How long (s) to wait for the other nodes once one is connected."""


async def connect_all(
    all_connections: Sequence[WorkerConnections], watch_loop: LoopThread, timeout: float
) -> None:
    """Connect to every node within ``timeout`` s. A node that is away is connected to once it is up.

    Raises ``BrokerError`` if none can be reached, and ``ConfigurationError`` if one is not suitable.
    """
    starting = {asyncio.create_task(_start(each, watch_loop, timeout)): each for each in all_connections}
    try:
        await wait_for_most(starting, NODE_PATIENCE_S)
    finally:
        for task in starting:
            task.cancel()
        results = await asyncio.gather(*starting, return_exceptions=True)
    for connections, result in zip(starting.values(), results, strict=True):
        if isinstance(result, asyncio.CancelledError | BrokerUnavailableError):
            await connections.stop()
            await watch_loop.call(connections.stop_watching())
            connections.begin()
            await watch_loop.call(connections.begin_watching())
        elif isinstance(result, BaseException):
            raise result


async def _start(connections: WorkerConnections, watch_loop: LoopThread, timeout: float) -> None:
    await connections.start(timeout)
    await watch_loop.call(connections.start_watching(timeout))
