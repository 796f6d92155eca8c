"""Failure hooks: functions of the application that are told of every failed attempt, with its exception.

They are called in a thread of their own, one failure after another, so that a hook may take its time, block or
raise, and neither the job nor the next one notices. A failure is held until the hooks have had it, no longer.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import queue
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from auth_worker.error_text import error_text
from auth_worker.errors import ConfigurationError
from auth_worker.events import EventBus, JobFailed, JobRetried, Problem
from auth_worker.messages import WORKER_ERRORS

Failure = JobRetried | JobFailed
"""The job runs again, or it is dead."""
FailureHook = Callable[[Failure], Any]
MOST_WAITING = 1000
"""How many failures may wait for slow hooks; what comes then is left out, and that is told."""
PATIENCE_S = 10.0
"""How long (s) an ``async def`` hook may take."""
STOP_S = 2.0


class FailureHooks:
    """The hooks of one service."""

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus
        self._hooks: list[FailureHook] = []
        self._waiting: queue.SimpleQueue[Failure | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop

    def add(self, hook: FailureHook) -> None:
        """Call ``hook``, a plain or an ``async def`` function, with each failure from now on.

        Raises ``ConfigurationError`` for what is no function.
        """
        if not callable(hook):
            raise ConfigurationError(f"on_failure takes a function of a failure, not a {type(hook).__name__}")
        if not self._hooks:
            self._bus.subscribe(JobRetried, self._take)
            self._bus.subscribe(JobFailed, self._take)
        self._hooks.append(hook)

    async def stop(self) -> None:
        """Let the hooks finish what has happened, for 2 s at most."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._waiting.put(None)
            await asyncio.to_thread(thread.join, STOP_S)

    def _take(self, failure: Failure) -> None:
        """In the work loop."""
        if self._waiting.qsize() >= MOST_WAITING:
            self._complain(failure, "it is too slow: failures are left out")
            return
        self._waiting.put(failure)
        if self._thread is None:
            self._loop = asyncio.get_running_loop()
            self._thread = threading.Thread(target=self._run, name="auth-worker-failures", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            failure = self._waiting.get()
            if failure is None:
                return
            for hook in self._hooks:
                self._call(hook, failure)
            del failure  # or it would live until the next one

    def _call(self, hook: FailureHook, failure: Failure) -> None:
        """In a context of its own: nothing that one call leaves there holds on to its failure."""
        try:
            told = contextvars.copy_context().run(hook, failure)
            if inspect.isawaitable(told):
                asyncio.run_coroutine_threadsafe(_finish(told), self._loop).result()
        except BaseException as error:  # also SystemExit: a hook cannot end the others
            self._complain(failure, f"{type(error).__name__}: {error_text(error)}")

    def _complain(self, failure: Failure, why: str) -> None:
        self._bus.emit(Problem(WORKER_ERRORS.FAILURE_HOOK_FAILED, failure.queue, why))


async def _finish(told: Awaitable[Any]) -> None:
    await asyncio.wait_for(told, PATIENCE_S)
