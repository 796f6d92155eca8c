"""The watch loop: a thread with an event loop of its own, for what must go on while a consumer blocks.

It renews leases, checks for stalled jobs and watches the work loop. It runs no consumer code, ever.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

from auth_worker.events import EventBus, LoopBlocked
from auth_worker.forks import renew

T = TypeVar("T")
End = Callable[[], None]
RESTART_PAUSE = 1.0
LAG_TICK = 0.5
LAG_LIMIT = 1.0


class WatchLoop:
    """Start it from the work loop; then run coroutines in it."""

    def __init__(self, name: str = "auth-worker-watch") -> None:
        self._name = name
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._submitted: set[concurrent.futures.Future[Any]] = set()
        """Held until they are done: a loop keeps no task alive, and one that only waits may be collected."""
        renew(self)

    def after_fork(self) -> None:
        """In a forked child: the thread is the parent's."""
        self._loop = self._thread = None

    @property
    def is_running(self) -> bool:
        """Between ``start`` and ``stop``."""
        return self._thread is not None

    def start(self) -> None:
        """Start the thread; returns once its loop turns."""
        ready = threading.Event()
        self._stopped = asyncio.Event()

        def main() -> None:
            with asyncio.Runner() as runner:
                self._loop = runner.get_loop()
                self._loop.call_soon(ready.set)
                with contextlib.suppress(asyncio.CancelledError):
                    runner.run(self._until_stopped())

        self._thread = threading.Thread(target=main, name=self._name, daemon=True)
        self._thread.start()
        ready.wait()

    async def stop(self) -> None:
        """End every coroutine, and the thread."""
        if self._thread is None or self._loop is None:
            return
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._stopped.set)
        thread, self._thread = self._thread, None
        await asyncio.get_running_loop().run_in_executor(None, thread.join)

    async def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run ``coroutine`` in the watch loop and wait here for its result."""
        return await asyncio.wrap_future(self._submit(coroutine))

    def keep(self, coroutine: Coroutine[Any, Any, None]) -> Callable[[], None]:
        """Run ``coroutine`` in the watch loop until it ends or the returned function is called."""
        future = self._submit(coroutine)

        def end() -> None:
            future.cancel()

        return end

    def keep_going(
        self, part: Callable[[], Coroutine[Any, Any, None]], on_error: Callable[[Exception], None]
    ) -> End:
        """Run ``part`` until it ends or the returned function is called; if it raises, tell and begin it anew."""

        async def go() -> None:
            while True:
                try:
                    await part()
                    return
                except Exception as error:
                    on_error(error)
                    await asyncio.sleep(RESTART_PAUSE)

        return self.keep(go())

    def _submit(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        if self._loop is None:
            raise RuntimeError("the watch loop is not started")
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        self._submitted.add(future)
        future.add_done_callback(self._submitted.discard)
        return future

    async def _until_stopped(self) -> None:
        await self._stopped.wait()


class LagWatch:
    """Notices from outside when the work loop does not turn. ``ticked``: when it last did (monotonic s).

    It is asked to turn, and not again before it has, so that its lag can be told at any time from any thread.
    """

    def __init__(
        self,
        work_loop: asyncio.AbstractEventLoop,
        bus: EventBus,
        running: Callable[[], Iterable[str]],
        limit: float = LAG_LIMIT,
    ) -> None:
        self._work_loop = work_loop
        self._bus = bus
        self._running = running
        self._limit = limit
        self.ticked = self._asked = self._looked = time.monotonic()

    @property
    def lag_s(self) -> float:
        """How long (s) the work loop took to turn when it was last asked; until now while it does not."""
        asked, ticked = self._asked, self.ticked
        return (ticked if ticked >= asked else time.monotonic()) - asked

    @property
    def watch_lag_s(self) -> float:
        """For how long (s) the watch loop itself has not looked, beyond its usual pause."""
        return max(time.monotonic() - self._looked - LAG_TICK, 0.0)

    async def run(self) -> None:
        """Watch for ever."""
        reported = False
        while True:
            self._looked = time.monotonic()
            if self.ticked >= self._asked:
                self._asked = time.monotonic()
                with contextlib.suppress(RuntimeError):
                    self._work_loop.call_soon_threadsafe(self._tick)
            await asyncio.sleep(LAG_TICK)
            lag = 0.0 if self.ticked >= self._asked else self.lag_s
            if lag > self._limit and not reported:
                self._bus.emit(LoopBlocked(lag, tuple(self._running())))
            reported = lag > self._limit

    def _tick(self) -> None:
        self.ticked = time.monotonic()
