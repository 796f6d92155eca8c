"""Runs the calls of producers for code without an event loop, in the process's background loop."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from auth_worker.brokers.opening import redirections
from auth_worker.errors import BrokerUnavailableError
from auth_worker.system.background_loop import call_at_exit, forget_at_exit, run_here, run_in_background
from auth_worker.system.main_reimport import stop_reimported_main

T = TypeVar("T")
SLACK_S = 1.0
"""How much longer (s) a call waits than its producer's timeout, so that the producer's own error comes first."""


class SyncCalls:
    """Runs the calls of one producer, each for at most ``timeout`` s. ``owner`` names it in errors.

    ``close`` is the coroutine function that disconnects it.
    """

    def __init__(self, owner: str, timeout: float, close: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._owner = owner
        self.timeout = timeout
        """How long (s) a call may take."""
        self._close = close

    def close(self) -> None:
        """Disconnect. The next call connects again."""
        forget_at_exit(self._close)
        run_in_background(self._close(), self.timeout + SLACK_S)

    def run(self, call: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run ``call`` in the background loop for at most ``timeout`` s (None: the producer's) and ``SLACK_S``.

        Raises what it raises, and ``BrokerUnavailableError`` when the time is over.
        """
        longest = (self.timeout if timeout is None else timeout) + SLACK_S
        try:
            return self.run_within(call, longest)
        except TimeoutError:
            raise BrokerUnavailableError(
                f"{self._owner}: no confirmation within {longest:g} s; whether it was "
                "done is unknown; adding a job again with the same job_id is safe"
            ) from None

    def run_within(self, call: Coroutine[Any, Any, T], longest: float | None) -> T:
        """Run ``call`` for at most ``longest`` s (None: forever). Raises what it raises, and ``TimeoutError``.

        In a test on a ``MemoryBroker`` it runs in this thread without a limit, since jobs may run within the call.
        """
        if redirections and redirections[-1].in_memory:
            return run_here(call)
        try:
            stop_reimported_main()
        except SystemExit:
            call.close()  # else Python warns that it was never awaited
            raise
        call_at_exit(self._close)
        return run_in_background(call, longest)
