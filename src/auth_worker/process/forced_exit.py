"""Ends the process by force when a consumer cannot be stopped.

A consumer may ignore its cancellation, hang in a thread, or block the event loop, and Python cannot stop it from
inside. A thread counts down from each signal. When the time is up, it hands the jobs back and ends the process, so
that a stop keeps its deadline whatever the consumers do.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterable
from types import FrameType
from typing import Protocol

from auth_worker.messages import WORKER_ERRORS
from auth_worker.observability.logs import Log
from auth_worker.system.handled_signals import SignalCounter
from auth_worker.system.loop_thread import LoopThread

NOTICE = 1.0
"""How long (s) past the deadline the event loop may take to notice a signal. After that it counts as blocked."""
LATEST = 4.0
"""How long (s) past the deadline an orderly stop may take."""
AT_ONCE = 3
"""The number of the signal that ends the process at once, whatever goes on."""
LEAVE = 1.0
"""How long (s) the process may take to end by itself after a stop that a consumer has survived."""
RESCUE_TIMEOUT = 1.0


class Processor(Protocol):
    """The part of a processor that is needed here."""

    @property
    def stuck(self) -> bool:
        """Whether it has a consumer that cannot be stopped."""

    async def hand_back_now(self) -> None:
        """Hand back what runs, from the watch loop."""


class ForcedExit:
    """Hands back the jobs of ``processors`` in the ``watch`` loop, and ends the process with exit ``code``."""

    def __init__(self, processors: Collection[Processor], watch: LoopThread, log: Log, code: int) -> None:
        self._processors = processors
        self._watch = watch
        self._log = log
        self._code = code
        self._orders: queue.SimpleQueue[float | None] = queue.SimpleQueue()  # also safe in a signal handler
        self._patience = 0.0
        self._signals = SignalCounter()
        self._on_counted: Callable[[signal.Signals], object]
        self._thread: threading.Thread | None = None

    def arm(
        self, numbers: Iterable[signal.Signals], patience: float, on_signal: Callable[[signal.Signals], object]
    ) -> None:
        """Count down from each of these signals: ``patience`` s from the first one, no time from the third.

        Call it in the main thread. Python calls the handlers also while the loop is blocked. They call
        ``on_signal``, unless the signal only repeats the last one.
        """
        self._patience = patience
        self._on_counted = on_signal
        if self._thread is None:
            self._thread = threading.Thread(target=self._count_down, name="auth-worker-forced-exit", daemon=True)
            self._thread.start()
        for number in numbers:
            signal.signal(number, self._on_signal)

    def noticed(self, patience: float) -> None:
        """Expect the stop to end within ``patience`` s, since the event loop has noticed the signal."""
        if self._signals.count < AT_ONCE:
            self._end_in(patience + LATEST)

    def disarm(self) -> None:
        """Stop counting down: after the stop the process ends by itself, unless a consumer is stuck."""
        if any(processor.stuck for processor in self._processors):
            self._end_in(LEAVE)
        else:
            self._orders.put(None)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._signals.take():
            self._end_in(self._patience + NOTICE if self._signals.count < AT_ONCE else 0)
            self._patience = 0.0
            self._on_counted(signal.Signals(number))

    def _end_in(self, seconds: float) -> None:
        self._orders.put(time.monotonic() + seconds)

    def _count_down(self) -> None:
        due: float | None = None
        with contextlib.suppress(queue.Empty):
            while True:
                due = self._orders.get(timeout=None if due is None else max(due - time.monotonic(), 0))
        try:
            hurried = self._signals.count >= AT_ONCE
            why = "ended at the third signal" if hurried else "a consumer could not be stopped"
            self._log.logger.error(WORKER_ERRORS.SHUTDOWN_FAILED, error=why)
            self._rescue()
            self._log.drain()
        finally:
            os._exit(self._code)

    def _rescue(self) -> None:
        done = threading.Event()

        async def hand_back_now() -> None:
            try:
                for processor in self._processors:
                    await processor.hand_back_now()
            finally:
                done.set()

        with contextlib.suppress(RuntimeError):  # the watch loop is not there yet, or not any more
            self._watch.keep(hand_back_now())
            done.wait(RESCUE_TIMEOUT)
