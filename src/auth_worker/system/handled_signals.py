"""Installs signal handlers that a forked child does not inherit.

After a fork, the child has the parent's handlers and shares the descriptor that wakes the parent's event loop
(``signal.set_wakeup_fd``): a signal to the child would arrive in the parent. So the child gets Python's own
handlers back. Signals that arrive in the meantime wait.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterable
from typing import Any

from auth_worker.system.forks import call_around_fork

STOP_SIGNALS: tuple[signal.Signals, ...] = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)
)
MOMENT_S = 0.5
"""Signals within this many seconds count as one."""
_before_ours: dict[signal.Signals, Any] = {}
_held = threading.local()


def signals_to_handle() -> list[signal.Signals]:
    """Return the stop signals, without SIGHUP if it is ignored, as under ``nohup``."""
    return [
        number
        for number in STOP_SIGNALS
        if number in (signal.SIGTERM, signal.SIGINT) or signal.getsignal(number) is not signal.SIG_IGN
    ]


def remember_handlers(numbers: Iterable[signal.Signals]) -> None:
    """Remember the current handlers of ``numbers``, to be replaced now, and restore them in forked children."""
    for number in numbers:
        handler = signal.getsignal(number)
        _before_ours.setdefault(number, signal.SIG_DFL if handler is None else handler)


def restore_handlers() -> None:
    """Restore the remembered handlers."""
    while _before_ours:
        signal.signal(*_before_ours.popitem())


class SignalCounter:
    """Counts signals, taking those within ``moment`` s of the last one that counted as the same one.

    A signal to a process group, or to all processes of a container, arrives a second time from whoever forwards
    it.
    """

    def __init__(self, moment: float = MOMENT_S) -> None:
        self.count = 0
        self._moment = moment
        self._last = -math.inf

    def take(self) -> bool:
        """Register a signal, and return whether it counts."""
        now = time.monotonic()
        if now - self._last < self._moment:
            return False
        self._last = now
        self.count += 1
        return True


def _hold_signals() -> None:
    _held.mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS) if _before_ours else None


def _let_signals_in() -> None:
    if _held.mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, _held.mask)


def _restore_in_child() -> None:
    if _before_ours:
        signal.set_wakeup_fd(-1)
        for number, handler in _before_ours.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        _before_ours.clear()
    _let_signals_in()


call_around_fork(before=_hold_signals, in_parent=_let_signals_in, in_child=_restore_in_child)
