"""SIGTERM, SIGINT and SIGHUP: the first asks for a stop, the second to hurry, the third is the last resort's."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable
from typing import Any

from auth_worker.handled_signals import remember_handlers, restore_handlers, signals_to_handle
from auth_worker.last_resort import LastResort
from auth_worker.messages import WORKER_MESSAGES


class StopSignals:
    """The signals that stop a service, which has ``timeout`` s for it; the first one calls ``on_first``."""

    def __init__(self, last_resort: LastResort, log: Any, timeout: float, on_first: Callable[[], object]) -> None:
        self._last_resort = last_resort
        self._log = log
        self._timeout = timeout
        self._on_first = on_first
        self._handled: list[signal.Signals] = []
        self.first = asyncio.Event()
        """Set once a signal has come."""
        self.second = asyncio.Event()
        """Set once another one has come."""

    def handle(self) -> None:
        """Handle them from now on; from the main thread, with its loop running."""
        loop = asyncio.get_running_loop()
        self._handled = self._handled or signals_to_handle()
        remember_handlers(self._handled)
        with contextlib.suppress(NotImplementedError):  # Windows: signals wake the loop anyway
            for number in self._handled:
                loop.add_signal_handler(number, int)  # only to wake the loop: the last resort handles them

        def notify(number: signal.Signals) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._on_signal, number)

        self._last_resort.guard(self._handled, self._timeout, notify)

    def leave(self) -> None:
        """Handle them no longer: the stop is over."""
        with contextlib.suppress(NotImplementedError):
            for number in self._handled:
                asyncio.get_running_loop().remove_signal_handler(number)
        if self._handled:
            self._handled = []
            restore_handlers()
        self._last_resort.stand_down()

    def _on_signal(self, number: signal.Signals) -> None:
        if self.first.is_set():
            self._log.warning(WORKER_MESSAGES.SECOND_SIGNAL, signal=number.name)
            self._last_resort.noticed(0)
            self.second.set()
            return
        self._last_resort.noticed(self._timeout)
        self._log.info(WORKER_MESSAGES.SHUTDOWN_SIGNAL, signal=number.name)
        self.first.set()
        self._on_first()
