"""A thread with an event loop of its own, which its owner starts and stops from another event loop.

The watch loop, the HTTP port and the API run in one each, so that none delays another. Code that has no event loop
shares the one of ``background_loop``.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from auth_worker.system.forks import reset_in_child

T = TypeVar("T")
End = Callable[[], None]
RESTART_PAUSE = 1.0


class LoopThread:
    """Runs coroutines in a thread called ``name``."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._submitted: set[concurrent.futures.Future[Any]] = set()
        """Held until they are done. A loop keeps no reference to its tasks, so a waiting one could be collected.
        """
        reset_in_child(self)

    def after_fork(self) -> None:
        """Forget the thread in a forked child, since it runs only in the parent."""
        self._loop = self._thread = None

    @property
    def is_running(self) -> bool:
        """Whether the thread has been started and not been stopped."""
        return self._thread is not None

    def start(self) -> None:
        """Start the thread. Returns once its loop runs."""
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
        """Cancel every coroutine, and wait for the thread to end. Does nothing if it does not run."""
        if self._thread is None or self._loop is None:
            return
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._stopped.set)
        thread, self._thread = self._thread, None
        await asyncio.get_running_loop().run_in_executor(None, thread.join)

    async def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run ``coroutine`` in the thread and return its result. Raises ``RuntimeError`` before ``start``."""
        return await asyncio.wrap_future(self._submit(coroutine))

    def keep(self, coroutine: Coroutine[Any, Any, None]) -> Callable[[], None]:
        """Run ``coroutine`` in the thread until it ends or the returned function is called."""
        future = self._submit(coroutine)

        def end() -> None:
            future.cancel()

        return end

    def keep_going(
        self, part: Callable[[], Coroutine[Any, Any, None]], on_error: Callable[[Exception], None]
    ) -> End:
        """Run ``part`` until it returns or the returned function is called. Report errors and run it again."""

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
            coroutine.close()  # else Python warns that it was never awaited
            raise RuntimeError(f"the event loop of {self._name} is not started")
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:  # the loop is closed
            coroutine.close()
            raise
        self._submitted.add(future)
        future.add_done_callback(self._submitted.discard)
        return future

    async def _until_stopped(self) -> None:
        await self._stopped.wait()
