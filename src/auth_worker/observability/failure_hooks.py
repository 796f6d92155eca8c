"""Failure hooks: functions of the application that are called with every failed attempt and its exception.

A cancelled job is not a failure: somebody asked for it. Sentry is one of the hooks.

Hooks run in a thread of their own, one failure at a time, so that a hook may be slow, block or raise without
affecting the job or the next failure. A failure is released once the hooks have run.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import queue
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from auth_worker.core.error_text import error_text
from auth_worker.errors import ConfigurationError
from auth_worker.events import EventBus, JobFailed, JobRetried, OutcomeName, Problem
from auth_worker.messages import WORKER_ERRORS

Failure = JobRetried | JobFailed
"""An attempt that is retried, or a job that failed for good."""
FailureHook = Callable[[Failure], Any]
MOST_WAITING = 1000
"""How many failures may wait for slow hooks. Later ones are dropped, and that is reported."""
HOOK_TIMEOUT_S = 10.0
"""How long (s) an ``async def`` hook may take."""
STOP_S = 2.0
"""How long (s) ``stop`` waits for the hooks."""


class FailureHooks:
    """The failure hooks of one service."""

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus
        self._hooks: list[FailureHook] = []
        self._waiting: queue.SimpleQueue[Failure | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop

    def add(self, hook: FailureHook) -> None:
        """Call ``hook``, a plain or an ``async def`` function, with each failure from now on.

        Raises ``ConfigurationError`` if it is not a function.
        """
        if not callable(hook):
            raise ConfigurationError(f"on_failure takes a function of a failure, not a {type(hook).__name__}")
        if not self._hooks:
            self._bus.subscribe(JobRetried, self._take)
            self._bus.subscribe(JobFailed, self._take_final)
        self._hooks.append(hook)

    async def stop(self) -> None:
        """Let the hooks finish, within ``STOP_S``."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._waiting.put(None)
            await asyncio.to_thread(thread.join, STOP_S)

    def _take_final(self, failure: JobFailed) -> None:
        if failure.outcome is not OutcomeName.CANCELLED:
            self._take(failure)

    def _take(self, failure: Failure) -> None:
        """Queue a failure for the hooks. Called in the work loop."""
        if self._waiting.qsize() >= MOST_WAITING:
            self._report(failure, "it is too slow: some failures were skipped")
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
            del failure  # or the variable would keep it alive until the next one

    def _call(self, hook: FailureHook, failure: Failure) -> None:
        """Call a hook in a context of its own, so that nothing it leaves there keeps its failure alive."""
        try:
            result = contextvars.copy_context().run(hook, failure)
            if inspect.isawaitable(result):
                asyncio.run_coroutine_threadsafe(_finish(result), self._loop).result()
        except BaseException as error:  # also SystemExit: a hook must not stop the others
            self._report(failure, f"{type(error).__name__}: {error_text(error)}")

    def _report(self, failure: Failure, why: str) -> None:
        self._bus.emit(Problem(WORKER_ERRORS.FAILURE_HOOK_FAILED, failure.queue, why))


async def _finish(result: Awaitable[Any]) -> None:
    await asyncio.wait_for(result, HOOK_TIMEOUT_S)
