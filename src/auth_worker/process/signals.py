"""Handles SIGTERM, SIGINT and SIGHUP: the first stops the service, the second hurries it, the third kills it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable
from typing import Any

from auth_worker.messages import WORKER_MESSAGES
from auth_worker.process.forced_exit import ForcedExit
from auth_worker.system.handled_signals import remember_handlers, restore_handlers, signals_to_handle


class StopSignals:
    """Handles the signals that stop a service within ``timeout`` s. The first one calls ``on_first``."""

    def __init__(self, forced_exit: ForcedExit, log: Any, timeout: float, on_first: Callable[[], object]) -> None:
        self._forced_exit = forced_exit
        self._log = log
        self._timeout = timeout
        self._on_first = on_first
        self._handled: list[signal.Signals] = []
        self.first = asyncio.Event()
        """Set once a signal has arrived."""
        self.second = asyncio.Event()
        """Set once a second signal has arrived."""

    def handle(self) -> None:
        """Start handling signals. Call it in the main thread while its event loop runs."""
        loop = asyncio.get_running_loop()
        self._handled = self._handled or signals_to_handle()
        remember_handlers(self._handled)
        with contextlib.suppress(NotImplementedError):  # Windows: signals wake the loop anyway
            for number in self._handled:
                loop.add_signal_handler(number, int)  # only to wake the loop: ``ForcedExit`` handles them

        def notify(number: signal.Signals) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._on_signal, number)

        self._forced_exit.arm(self._handled, self._timeout, notify)

    def leave(self) -> None:
        """Stop handling signals, after the stop."""
        with contextlib.suppress(NotImplementedError):
            for number in self._handled:
                asyncio.get_running_loop().remove_signal_handler(number)
        if self._handled:
            self._handled = []
            restore_handlers()
        self._forced_exit.disarm()

    def request(self) -> None:
        """Stop as at the first signal, because an operator requests it."""
        if not self.first.is_set():
            self._begin("operator")

    def _begin(self, signal_name: str) -> None:
        self._forced_exit.noticed(self._timeout)
        self._log.info(WORKER_MESSAGES.SHUTDOWN_SIGNAL, signal=signal_name)
        self.first.set()
        self._on_first()

    def _on_signal(self, number: signal.Signals) -> None:
        if self.first.is_set():
            self._log.warning(WORKER_MESSAGES.SECOND_SIGNAL, signal=number.name)
            self._forced_exit.noticed(0)
            self.second.set()
            return
        self._begin(number.name)
