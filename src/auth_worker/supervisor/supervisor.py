"""Keeps several service processes running, forwards signals to them, and ends when they have ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import AsyncIterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from auth_worker.core.lifecycle import BROKER_UNREACHABLE, CLEAN, FAILED_TO_START, HANDED_BACK
from auth_worker.messages import WORKER_ERRORS, WORKER_MESSAGES
from auth_worker.supervisor.child import LIFELINE, Child
from auth_worker.system.handled_signals import MOMENT_S, STOP_SIGNALS, SignalCounter, signals_to_handle

USAGE = 2
SEVERITY = (CLEAN, HANDED_BACK, BROKER_UNREACHABLE, FAILED_TO_START)
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
"""How long (s) to wait before a process that died is restarted; twice as long each time."""
LATER_S = 0.25
"""How much later (s) a forwarded signal may arrive: what counts here must count in the children."""
STEADY_S = 60.0
"""After a process has run for this long (s), the pause after its next end is the first one again."""


class Supervisor:
    """Runs ``processes`` children with ``arguments``, each with an ``environment`` of its own.

    With ``reload``, the children are restarted with each of its items (the files that changed), also after an
    error at start.
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
        self._restart = [asyncio.Event() for _ in self.children]

    async def run(self) -> int:
        """Run until a signal arrives, or a child cannot start. Returns the worst exit code of the children.

        SIGTERM, SIGINT and SIGHUP drain them; a second signal makes them hand back what runs, a third kills them.
        """
        loop = asyncio.get_running_loop()
        numbers = signals_to_handle()
        for number in numbers:
            loop.add_signal_handler(number, self._on_signal, number)
        theirs, ours = _pipe()
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
        return worst_exit_code(self._codes)

    async def _keep(self, child: Child, lifeline: int) -> None:
        pause = FIRST_PAUSE_S
        restart = self._restart[child.number - 1]
        while not self.stopping:
            restart.clear()
            running = asyncio.ensure_future(child.run(lifeline))
            await asyncio.sleep(0)
            self._log.info(WORKER_MESSAGES.PROCESS_STARTED, process=child.number, pid=child.pid)
            code = await running
            if self.stopping:
                self._codes.append(code)
            elif restart.is_set():
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
                await self._wait_to_restart(child, code, pause, restart)
                pause = min(2 * pause, LONGEST_PAUSE_S)

    async def _wait_to_restart(self, child: Child, code: int, pause: float, restart: asyncio.Event) -> None:
        """Wait before the next start; with ``reload``, until something has changed."""
        limit = pause if self._reload is None else None
        self._log.error(
            WORKER_ERRORS.PROCESS_DIED,
            process=child.number,
            exit_code=code if code >= 0 else None,
            signal=signal.Signals(-code).name if code < 0 else None,
            starts_again_in_s=limit,
        )
        self.restarts += 1
        with contextlib.suppress(TimeoutError):  # then it is restarted all the same
            async with asyncio.timeout(limit):
                await restart.wait()

    async def _reload_on_change(self) -> None:
        assert self._reload is not None  # noqa: S101 - see run
        async for _ in self._reload:
            self._log.info(WORKER_MESSAGES.RELOADING)
            for child, restart in zip(self.children, self._restart, strict=True):
                if not restart.is_set():
                    restart.set()
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
        for child, restart in zip(self.children, self._restart, strict=True):
            restart.set()
            child.send(number)


def _pipe() -> tuple[int, int]:
    """Return a pipe with descriptors above those that a child gets, so that passing them overwrites neither."""
    import fcntl  # Windows has none, and imports this module all the same

    ends = os.pipe()
    moved = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, LIFELINE + 1) for end in ends]
    for end in ends:
        os.close(end)
    return moved[0], moved[1]


def worst_exit_code(codes: Sequence[int]) -> int:
    """Return the worst of the exit codes 0, 3, 4 and 1.

    A process that was killed left work behind (3); one that a stop signal ended had not started.
    """
    seen = [CLEAN if -code in STOP_SIGNALS else HANDED_BACK if code < 0 else code for code in codes]
    unknown = next((code for code in seen if code not in SEVERITY), None)
    return unknown if unknown is not None else max(seen, key=SEVERITY.index, default=CLEAN)
