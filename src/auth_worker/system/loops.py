"""Keeps one value per event loop, for objects that serve any number of loops, threads and forked children."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import AsyncGenerator, Callable
from typing import Any, Generic, Protocol, TypeVar

from auth_worker.errors import ConfigurationError
from auth_worker.system.forks import reset_in_child

OTHERS_S = 2.0
"""How long (s) ``PerLoop.close`` waits for other running loops."""


class LoopBound(Protocol):
    """An object that works in the event loop in which it was created."""

    async def close(self) -> None:
        """Close it, in its loop, also where that ends and cancels this call. Does nothing after ``discard``."""

    def discard(self) -> None:
        """Release it without its loop: one that is closed, or one of the parent process.

        Must not raise, and in the second case must not touch what the parent still uses.
        """


T = TypeVar("T", bound=LoopBound)
_left_to_loops: list[AsyncGenerator[None]] = []
"""In a forked child: generators of the parent's open loops. If they were collected, they would call the loops."""


class _Entry(Generic[T]):
    """The value of one loop."""

    def __init__(self, value: T) -> None:
        self.value = value
        self._closing: asyncio.Task[None] | None = None
        self._is_discarded = False

    async def close(self) -> None:
        """Close the value once: a further call waits for the first."""
        if self._is_discarded:
            return
        if self._closing is None:
            self._closing = asyncio.create_task(self.value.close(), name="close")
        await asyncio.shield(self._closing)

    def discard(self) -> None:
        """Discard the value, whose loop is closed."""
        self._is_discarded = True
        self.value.discard()


class PerLoop(Generic[T]):
    """One ``T`` per event loop, created by ``make`` at the first use there. Thread-safe.

    A ``T`` is closed by ``close``, when its loop shuts down, as at the end of ``asyncio.run``, or when this object
    is collected. If its loop was closed without a shutdown, it is discarded at the next opportunity. A forked
    child starts with none.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._held: dict[asyncio.AbstractEventLoop, tuple[_Entry[T], AsyncGenerator[None]]] = {}
        reset_in_child(self)
        weakref.finalize(self, _release, self._held)

    def __len__(self) -> int:
        return len(self._held)

    def get(self) -> T:
        """Return the running loop's value, created at first use. Raises ``RuntimeError`` outside of a loop."""
        loop = asyncio.get_running_loop()
        held = self._held.get(loop)
        if held is None:
            _discard_dead(self._held)
            entry = _Entry(self._make())
            held = self._held[loop] = entry, _begin(_until_shutdown(entry, loop, weakref.ref(self)))
        return held[0].value

    def find(self) -> T | None:
        """Return the running loop's value, or None. Raises ``RuntimeError`` without a running loop."""
        held = self._held.get(asyncio.get_running_loop())
        return None if held is None else held[0].value

    async def close_own(self) -> None:
        """Close the running loop's value."""
        held = self._held.pop(asyncio.get_running_loop(), None)
        if held is not None:
            await held[1].aclose()

    async def close(self) -> None:
        """Close all values, each in its loop, and discard those of closed loops.

        Waits at most 2 s for other loops. A loop that is not running closes its value when it runs again.
        """
        own = asyncio.get_running_loop()
        waiting = [asyncio.ensure_future(self.close_own())]
        for loop in [loop for loop in list(self._held) if loop is not own]:
            ended: asyncio.Future[None] = own.create_future()
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._end_in, loop, own, ended)
                if loop.is_running():
                    waiting.append(asyncio.ensure_future(asyncio.wait_for(ended, OTHERS_S)))
        await asyncio.gather(*waiting, return_exceptions=True)
        _discard_dead(self._held)

    def _end_in(
        self, loop: asyncio.AbstractEventLoop, asking: asyncio.AbstractEventLoop, ended: asyncio.Future[None]
    ) -> None:
        """Close the value of ``loop``, in that loop, and then resolve ``ended`` in the loop ``asking``."""

        def report(task: asyncio.Task[None]) -> None:
            with contextlib.suppress(RuntimeError):  # the asking loop is closed
                asking.call_soon_threadsafe(_resolve, ended)

        loop.create_task(self.close_own()).add_done_callback(report)

    def after_fork(self) -> None:
        """Discard all values in a forked child, since they belong to the parent.

        The child may still unwind an open loop of its parent, which then closes its value as usual.
        """
        while self._held:
            loop, (entry, guard) = self._held.popitem()
            if loop.is_closed():
                _discard(entry, guard)
            else:
                entry.value.discard()
                _left_to_loops.append(guard)


async def _until_shutdown(
    entry: _Entry[Any], loop: asyncio.AbstractEventLoop, owner: weakref.ref[PerLoop[Any]]
) -> AsyncGenerator[None]:
    """Close ``entry`` when this generator is closed.

    Asynchronous generators are the only thing that a loop finalizes before it is closed, and after every task
    (``shutdown_asyncgens``).
    """
    try:
        yield
    finally:
        holder = owner()
        if holder is not None and holder._held.get(loop, (None,))[0] is entry:
            del holder._held[loop]
        del holder
        await entry.close()


def _begin(guard: AsyncGenerator[None]) -> AsyncGenerator[None]:
    """Run ``guard`` to its ``yield``, which it reaches without suspending."""
    with contextlib.suppress(StopIteration):
        guard.__anext__().send(None)
    return guard


def _end(guard: AsyncGenerator[None]) -> None:
    """End a guard whose entry is closed or discarded, so that it does not suspend."""
    with contextlib.suppress(StopIteration):
        guard.aclose().send(None)


def _discard(entry: _Entry[Any], guard: AsyncGenerator[None]) -> None:
    entry.discard()
    _end(guard)


def _discard_dead(held: dict[asyncio.AbstractEventLoop, tuple[_Entry[Any], AsyncGenerator[None]]]) -> None:
    for loop in [loop for loop in list(held) if loop.is_closed()]:
        found = held.pop(loop, None)
        if found is not None:
            _discard(*found)


def _release(held: dict[asyncio.AbstractEventLoop, tuple[_Entry[Any], AsyncGenerator[None]]]) -> None:
    """Close what a collected object held, each entry in its loop, and discard the entries of closed loops."""
    for loop, (entry, guard) in list(held.items()):
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(_close_in_loop, entry, guard)
    _discard_dead(held)


def _close_in_loop(entry: _Entry[Any], guard: AsyncGenerator[None]) -> None:
    """Close ``entry`` in the running loop. ``guard`` lives until then, so that a loop that shuts down waits."""
    closing = asyncio.ensure_future(entry.close())
    closing.add_done_callback(lambda _: _end(guard))


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def first_of(timeout: float, *awaitables: Any) -> None:
    """Wait until the first of ``awaitables`` is done, for at most ``timeout`` s. Cancels the others."""
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    try:
        await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def check_loop(home: asyncio.AbstractEventLoop, what: str) -> None:
    """Raise ``ConfigurationError`` unless the running loop is ``home``, in which ``what`` was started."""
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


# asyncio has no public way to let a task or a transport go without its loop: ``_log_destroy_pending``,
# ``_ssl_protocol`` and ``_call_connection_lost`` are private. A test notices a Python that no longer has them.


def discard_task(task: asyncio.Task[Any] | None) -> None:
    """Drop a task that cannot end, since its loop is closed or belongs to the parent process."""
    if task is None or task.done():
        return
    task._log_destroy_pending = False  # type: ignore[attr-defined] # as asyncio.gather does
    if task.get_loop().is_closed():
        with contextlib.suppress(RuntimeError):  # its cleanup calls the loop
            task.get_coro().close()


def discard_transport(transport: asyncio.BaseTransport | None) -> None:
    """Close the socket of a transport whose loop is closed or belongs to the parent process.

    asyncio closes sockets in a later iteration of the loop, which does not come; uvloop closes them with the loop.
    """
    raw = getattr(getattr(transport, "_ssl_protocol", None), "_transport", transport)
    finish = getattr(raw, "_call_connection_lost", None)
    if finish is None or not isinstance(transport, asyncio.WriteTransport):
        return
    with contextlib.suppress(RuntimeError):  # it cannot call the closed loop, but marks itself closed
        transport.abort()
    with contextlib.suppress(RuntimeError):
        finish(None)
