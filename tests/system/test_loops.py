"""A value for each event loop."""

from __future__ import annotations

import asyncio
import gc
import inspect
import warnings
from asyncio.selector_events import _SelectorTransport  # type: ignore[attr-defined]
from asyncio.sslproto import SSLProtocol, _SSLProtocolTransport

from auth_worker.system.loops import PerLoop


class Recorded:
    """A value of a loop that records how it ended."""

    def __init__(self) -> None:
        self.ended = ""

    async def close(self) -> None:
        self.ended = self.ended or "closed"

    def discard(self) -> None:
        self.ended = "discarded"


async def test_each_loop_has_its_own_value() -> None:
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


class Slow(Recorded):
    """Takes many turns of its loop to close."""

    async def close(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)
        await super().close()


async def test_a_loop_that_shuts_down_waits_for_what_was_dropped_at_its_end() -> None:
    async def drop_with_the_last_task() -> Recorded:
        held = PerLoop(Slow)

        async def linger(held: PerLoop[Slow]) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                del held

        lingering.append(asyncio.create_task(linger(held)))
        await asyncio.sleep(0)
        return held.get()

    lingering: list[asyncio.Task[None]] = []
    value = await asyncio.to_thread(asyncio.run, drop_with_the_last_task())
    assert value.ended == "closed"


async def test_everyone_who_closes_a_value_waits_until_it_is_closed() -> None:
    held = PerLoop(Slow)
    value = held.get()
    closing = asyncio.create_task(held.close_own())
    await asyncio.sleep(0)
    del held
    gc.collect()
    await closing
    assert value.ended == "closed"


async def test_asyncio_has_the_private_names_that_discarding_needs() -> None:
    """Check what ``discard_task`` and ``discard_transport`` need of asyncio; uvloop has none of it."""
    task = asyncio.create_task(asyncio.sleep(0))
    assert task._log_destroy_pending is True  # type: ignore[attr-defined]
    await task
    assert callable(_SelectorTransport._call_connection_lost)
    assert "self._ssl_protocol = " in inspect.getsource(_SSLProtocolTransport)
    assert "self._transport = " in inspect.getsource(SSLProtocol)
