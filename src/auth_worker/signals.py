"""SIGTERM and SIGINT: the first one asks for a stop, the second one to hurry, the third is the last resort's."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Any

from auth_worker.last_resort import LastResort
from auth_worker.messages import WORKER_MESSAGES

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """The signals that stop a service, which has ``timeout`` s for it; the first one calls ``on_first``."""

    def __init__(self, last_resort: LastResort, log: Any, timeout: float, on_first: Callable[[], object]) -> None:
        self._last_resort = last_resort
        self._log = log
        self._timeout = timeout
        self._on_first = on_first
        self._handling = False
        self.first = asyncio.Event()
        """Set once a signal has come."""
        self.second = asyncio.Event()
        """Set once another one has come."""

    def handle(self) -> None:
        """Handle them from now on; from the main thread, with its loop running."""
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, self._on_signal, number)
        self._handling = True
        self._last_resort.guard(STOP_SIGNALS, self._timeout)

    def leave(self) -> None:
        """Handle them no longer: the stop is over."""
        if self._handling:
            self._handling = False
            loop = asyncio.get_running_loop()
            for number in STOP_SIGNALS:
                loop.remove_signal_handler(number)
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
