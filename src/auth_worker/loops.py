"""Values that belong to one event loop each, for objects that serve any number of loops, threads and children."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import AsyncGenerator, Callable
from typing import Any, Generic, Protocol, TypeVar

from auth_worker.errors import ConfigurationError
from auth_worker.forks import renew

OTHERS_S = 2.0
"""How long (s) ``PerLoop.close`` waits for other running loops."""


class LoopBound(Protocol):
    """Something that works in the event loop it was made in."""

    async def close(self) -> None:
        """End it, in its loop; does nothing once it is discarded."""

    def discard(self) -> None:
        """End it without its loop, if that is closed; let it go in silence, if the loop is the parent process's.

        Must not raise.
        """


T = TypeVar("T", bound=LoopBound)
_left_to_loops: list[AsyncGenerator[None]] = []
"""In a forked child: what open loops of the parent hold. Collected, it would call them."""


class PerLoop(Generic[T]):
    """One ``T`` for each event loop, made by ``make`` at the first use there.

    A ``T`` ends with ``close``; when its loop shuts down, as at the end of ``asyncio.run``; or when this object is
    collected. One whose loop was closed without a shutdown is discarded at the next occasion. A forked child has
    none of its parent's. For any thread.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._held: dict[asyncio.AbstractEventLoop, tuple[T, AsyncGenerator[None]]] = {}
        renew(self)
        weakref.finalize(self, _discard_dead, self._held)

    def __len__(self) -> int:
        return len(self._held)

    def get(self) -> T:
        """The running loop's; a new one if there is none. Raises ``RuntimeError`` without a running loop."""
        loop = asyncio.get_running_loop()
        held = self._held.get(loop)
        if held is None:
            _discard_dead(self._held)
            value = self._make()
            held = self._held[loop] = value, _begin(_until_shutdown(value, loop, weakref.ref(self)))
        return held[0]

    def find(self) -> T | None:
        """The running loop's, if there is one. Raises ``RuntimeError`` without a running loop."""
        held = self._held.get(asyncio.get_running_loop())
        return None if held is None else held[0]

    async def close_own(self) -> None:
        """End that of the running loop."""
        held = self._held.pop(asyncio.get_running_loop(), None)
        if held is not None:
            await held[1].aclose()

    async def close(self) -> None:
        """End all: the running loop's, those of closed loops, and those of other loops, each in its loop.

        Returns once all are ended, but waits for other loops for no more than 2 s; a loop that does not run now
        ends its own when it runs again.
        """
        own = asyncio.get_running_loop()
        waiting = [asyncio.ensure_future(self.close_own())]
        for loop in [loop for loop in list(self._held) if loop is not own]:
            ended: asyncio.Future[None] = own.create_future()
            with contextlib.suppress(RuntimeError):  # it is closed
                loop.call_soon_threadsafe(self._end_in, loop, own, ended)
                if loop.is_running():
                    waiting.append(asyncio.ensure_future(asyncio.wait_for(ended, OTHERS_S)))
        await asyncio.gather(*waiting, return_exceptions=True)
        _discard_dead(self._held)

    def _end_in(
        self, loop: asyncio.AbstractEventLoop, asking: asyncio.AbstractEventLoop, ended: asyncio.Future[None]
    ) -> None:
        """Called in ``loop``: end its value, and then say so in ``asking``."""

        def report(task: asyncio.Task[None]) -> None:
            with contextlib.suppress(RuntimeError):  # nobody waits any more
                asking.call_soon_threadsafe(_resolve, ended)

        loop.create_task(self.close_own()).add_done_callback(report)

    def after_fork(self) -> None:
        """In a forked child: what there is belongs to the parent.

        The child may still unwind an open loop of its parent's, which then ends what it has as usual.
        """
        while self._held:
            loop, (value, guard) = self._held.popitem()
            if loop.is_closed():
                _discard(value, guard)
            else:
                value.discard()
                _left_to_loops.append(guard)


async def _until_shutdown(
    value: LoopBound, loop: asyncio.AbstractEventLoop, owner: weakref.ref[PerLoop[Any]]
) -> AsyncGenerator[None]:
    """Ends ``value`` when it is closed itself.

    The one thing a loop ends before it is closed, and after every task, is the asynchronous generators that were
    begun in it (``shutdown_asyncgens``). It also closes one that is collected.
    """
    try:
        yield
    finally:
        holder = owner()
        if holder is not None and holder._held.get(loop, (None,))[0] is value:
            del holder._held[loop]
        del holder
        await value.close()


def _begin(guard: AsyncGenerator[None]) -> AsyncGenerator[None]:
    """Run ``guard`` to its ``yield``, which it reaches without waiting."""
    with contextlib.suppress(StopIteration):
        guard.__anext__().send(None)
    return guard


def _discard(value: LoopBound, guard: AsyncGenerator[None]) -> None:
    value.discard()
    with contextlib.suppress(StopIteration):  # it ends without waiting
        guard.aclose().send(None)


def _discard_dead(held: dict[asyncio.AbstractEventLoop, tuple[Any, AsyncGenerator[None]]]) -> None:
    for loop in [loop for loop in list(held) if loop.is_closed()]:
        found = held.pop(loop, None)
        if found is not None:
            _discard(*found)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def first_of(timeout: float, *awaitables: Any) -> None:
    """Wait for one of them, but not longer than ``timeout`` s."""
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    try:
        await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def check_loop(home: asyncio.AbstractEventLoop, what: str) -> None:
    """Raise ``ConfigurationError`` unless ``home``, in which ``what`` was started, is the running loop."""
    if asyncio.get_running_loop() is home:
        return
    if home.is_closed():
        raise ConfigurationError(
            f"{what} was started in an event loop that is closed: start, use and stop it within one asyncio.run"
        )
    raise ConfigurationError(
        f"{what} was started in another event loop, and can only be used there: call it in that loop, or with "
        "asyncio.run_coroutine_threadsafe"
    )


def discard_task(task: asyncio.Task[Any] | None) -> None:
    """Let a task go that cannot end, since its loop is closed or belongs to the parent process."""
    if task is None or task.done():
        return
    task._log_destroy_pending = False  # type: ignore[attr-defined] # as asyncio.gather does
    if task.get_loop().is_closed():
        with contextlib.suppress(RuntimeError):  # its clean-up calls the loop
            task.get_coro().close()


def discard_transport(transport: asyncio.BaseTransport | None) -> None:
    """Close the socket of a transport whose loop is closed or belongs to the parent process.

    asyncio closes sockets in a later turn of the loop, which does not come; uvloop closes them with the loop.
    """
    raw = getattr(getattr(transport, "_ssl_protocol", None), "_transport", transport)
    finish = getattr(raw, "_call_connection_lost", None)
    if finish is None or not isinstance(transport, asyncio.WriteTransport):
        return
    with contextlib.suppress(RuntimeError):  # it cannot call the closed loop, but notes that it is closed itself
        transport.abort()
    with contextlib.suppress(RuntimeError):
        finish(None)
