"""Jobs whose replies were lost are looked for in each partition, whenever its node comes back."""

from __future__ import annotations

import asyncio

from auth_worker.brokers.partitions.worker import PartitionedWorkerBroker
from auth_worker.errors import BrokerUnavailableError
from support.scripted_broker import ScriptedBroker


async def test_a_node_that_comes_back_while_the_others_are_searched_is_searched_too() -> None:
    parts = [ScriptedBroker() for _ in range(3)]
    broker = PartitionedWorkerBroker("mail", parts, 4)
    looks: asyncio.Queue[None] = asyncio.Queue()
    broker.on_up(lambda: looks.put_nowait(None))
    broker.fetch("a", lambda answer: None)
    parts[0].break_off()
    parts[0].fetches.pop().answer(BrokerUnavailableError("away"))
    await looks.get()
    search = asyncio.create_task(broker.find_unanswered(["a"]))
    await asyncio.sleep(0)
    assert looks.empty()
    parts[0].come_back()
    assert (await search).unsearched == {"a"}
    for _ in ("when it comes back", "after the search that it missed"):
        await looks.get()
    assert looks.empty()
