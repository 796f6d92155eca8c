"""A value for each event loop."""

from __future__ import annotations

import asyncio
import gc
import warnings

from auth_worker.loops import PerLoop


class Recorded:
    """What a loop holds, and how it ended."""

    def __init__(self) -> None:
        self.ended = ""

    async def close(self) -> None:
        self.ended = self.ended or "closed"

    def discard(self) -> None:
        self.ended = "discarded"


async def test_a_value_for_each_loop() -> None:
    held = PerLoop(Recorded)
    assert held.find() is None
    own = held.get()
    assert held.get() is own is held.find()

    async def of_another() -> Recorded:
        return held.get()

    other = await asyncio.to_thread(asyncio.run, of_another())
    assert other is not own
    assert (other.ended, own.ended) == ("closed", "")
    await held.close_own()
    assert own.ended == "closed"
    assert held.find() is None


async def test_a_loop_closed_without_a_shutdown_has_its_value_discarded() -> None:
    held = PerLoop(Recorded)

    def abandon() -> Recorded:
        loop = asyncio.new_event_loop()

        async def of_another() -> Recorded:
            return held.get()

        value = loop.run_until_complete(of_another())
        loop.close()
        return value

    first = await asyncio.to_thread(abandon)
    assert first.ended == ""
    held.get()
    assert first.ended == "discarded"
    second = await asyncio.to_thread(abandon)
    await held.close()
    assert second.ended == "discarded"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gc.collect()
