"""The parent of several service processes: keeps them running, and ends with them."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from auth_worker.handled_signals import MOMENT_S, STOP_SIGNALS, SignalCounter, signals_to_handle
from auth_worker.lifecycle import BROKER_UNREACHABLE, CLEAN, FAILED_TO_START, HANDED_BACK
from auth_worker.messages import WORKER_ERRORS, WORKER_MESSAGES
from auth_worker.supervisor.child import Child

USAGE = 2
SEVERITY = (CLEAN, HANDED_BACK, BROKER_UNREACHABLE, FAILED_TO_START)
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
"""How long to wait before a process that died is started again; twice as long each time."""
LATER_S = 0.25
"""How much later (s) a signal that is passed on may arrive: it must count in the children if it does here."""
STEADY_S = 60.0
"""A process that has run for so long was well: its next end is a first one."""


class Supervisor:
    """Runs ``processes`` children with ``arguments``, each with an ``environment`` of its own.

    With ``reload``, an end is no reason to give up: whoever develops mends the code, and each of its items
    (what has changed) starts the children anew.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        environments: Sequence[Mapping[str, str]],
        log: Any,
        reload: AsyncIterable[Any] | None = None,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="auth-worker-")
        folder = Path(self._folder.name)
        self.children = [Child(n, arguments, env, folder) for n, env in enumerate(environments, 1)]
        self.restarts = 0
        self.stopping = False
        self._log = log
        self._reload = reload
        self._signals = SignalCounter(MOMENT_S + LATER_S)
        self._codes: list[int] = []
        self._anew = [asyncio.Event() for _ in self.children]

    async def run(self) -> int:
        """Run until a signal, or until a child cannot start; returns the worst exit code of the children.

        SIGTERM, SIGINT and SIGHUP drain them, the second makes them hand back what runs, the third kills them.
        """
        loop = asyncio.get_running_loop()
        numbers = signals_to_handle()
        for number in numbers:
            loop.add_signal_handler(number, self._on_signal, number)
        theirs, ours = os.pipe()
        reloading = asyncio.create_task(self._reload_on_change()) if self._reload is not None else None
        try:
            await asyncio.gather(*(self._keep(child, theirs) for child in self.children))
        finally:
            if reloading is not None:
                reloading.cancel()
            for number in numbers:
                loop.remove_signal_handler(number)
            for end in (theirs, ours):
                os.close(end)
            for child in self.children:
                child.close()
            self._folder.cleanup()
        return worst(self._codes)

    async def _keep(self, child: Child, lifeline: int) -> None:
        pause = FIRST_PAUSE_S
        anew = self._anew[child.number - 1]
        while not self.stopping:
            anew.clear()
            running = asyncio.ensure_future(child.run(lifeline))
            await asyncio.sleep(0)
            self._log.info(WORKER_MESSAGES.PROCESS_STARTED, process=child.number, pid=child.pid)
            code = await running
            if self.stopping:
                self._codes.append(code)
            elif anew.is_set():
                continue
            elif (
                self._reload is None
                and child.started == 1
                and code in (FAILED_TO_START, USAGE, BROKER_UNREACHABLE)
            ):
                self._codes.append(code)
                self._stop(signal.SIGTERM)
            else:
                pause = FIRST_PAUSE_S if child.age_s > STEADY_S else pause
                await self._rest(child, code, pause, anew)
                pause = min(2 * pause, LONGEST_PAUSE_S)

    async def _rest(self, child: Child, code: int, pause: float, anew: asyncio.Event) -> None:
        """Wait before the next start; with ``reload`` until something has changed."""
        limit = pause if self._reload is None else None
        self._log.error(
            WORKER_ERRORS.PROCESS_DIED,
            process=child.number,
            exit_code=code if code >= 0 else None,
            signal=signal.Signals(-code).name if code < 0 else None,
            starts_again_in_s=limit,
        )
        self.restarts += 1
        try:
            async with asyncio.timeout(limit):
                await anew.wait()
        except TimeoutError:
            """Now."""

    async def _reload_on_change(self) -> None:
        assert self._reload is not None  # noqa: S101 - see run
        async for _ in self._reload:
            self._log.info(WORKER_MESSAGES.RELOADING)
            for child, anew in zip(self.children, self._anew, strict=True):
                if not anew.is_set():
                    anew.set()
                    child.send(signal.SIGTERM)

    def _on_signal(self, number: signal.Signals) -> None:
        if not self._signals.take():
            return
        count = self._signals.count
        if count == 1:
            self._log.info(WORKER_MESSAGES.SHUTDOWN_SIGNAL, signal=number.name)
        elif count == 2:
            self._log.warning(WORKER_MESSAGES.SECOND_SIGNAL, signal=number.name)
        else:
            self._log.warning(WORKER_MESSAGES.THIRD_SIGNAL, signal=number.name)
        self._stop(signal.SIGTERM if count < 3 else signal.SIGKILL)

    def _stop(self, number: signal.Signals) -> None:
        self.stopping = True
        for child, anew in zip(self.children, self._anew, strict=True):
            anew.set()
            child.send(number)


def worst(codes: Sequence[int]) -> int:
    """The exit code for several: the worst of 0, 3, 4 and 1.

    A process that was killed left work behind (3); one that a stop signal ended had not begun.
    """
    seen = [CLEAN if -code in STOP_SIGNALS else HANDED_BACK if code < 0 else code for code in codes]
    unknown = next((code for code in seen if code not in SEVERITY), None)
    return unknown if unknown is not None else max(seen, key=SEVERITY.index, default=CLEAN)
