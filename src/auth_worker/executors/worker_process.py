"""WorkerProcess: a process that runs jobs of one consumer, as the service sees it.

It leads a session of its own, so that it is killed together with the programs it has started, and that signals
from a terminal do not reach it. It ends when the service has ended, however that came: then its lifeline closes, a
pipe whose other end the service holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import signal
import socket
import subprocess
import threading
from concurrent.futures import Future
from multiprocessing.spawn import get_executable
from typing import Any

from auth_worker.errors import ConfigurationError, WorkerCrashedError
from auth_worker.executors.launch import program
from auth_worker.executors.transport import LENGTH, Ready, value_of
from auth_worker.forks import call_in_child
from auth_worker.handled_signals import STOP_SIGNALS

END_S = 1.0
"""How long (s) a process that has closed its socket may take to end before it is killed."""
RETIRE_S = 5.0
"""How long (s) a process may take to end in order once it gets no more jobs."""
READY_S = 60.0
"""How long (s) a process may take to import the consumer."""


class WorkerProcess:
    """Started by ``start``. It runs one job at a time; ``jobs`` counts them."""

    def __init__(self) -> None:
        self.jobs = 0
        self._socket, theirs = socket.socketpair()
        self._socket.setblocking(False)
        lifeline, self._lifeline = os.pipe()
        self._ended: Future[int] = Future()
        try:
            self._process = _popen(theirs.fileno(), lifeline)
        except BaseException:
            self._socket.close()
            os.close(self._lifeline)
            raise
        finally:
            theirs.close()
            os.close(lifeline)
        _running.add(self)
        threading.Thread(target=self._wait, name=f"auth-worker-process-{self._process.pid}", daemon=True).start()

    @classmethod
    async def start(cls, setup: bytes) -> WorkerProcess:
        """Start a process with the frame ``setup``, and wait until it takes jobs.

        Raises ``ConfigurationError`` where it cannot run the consumer, ``OSError`` where there can be no process.
        """
        worker = cls()
        try:
            async with asyncio.timeout(READY_S):
                answer = await worker._ask(setup)
        except BaseException as error:
            worker.discard()
            if isinstance(error, WorkerCrashedError | TimeoutError):
                reason = "it takes too long to import" if isinstance(error, TimeoutError) else str(error)
                raise ConfigurationError(
                    f"execution='process': the worker process did not get ready: {reason}"
                ) from None
            raise
        if not isinstance(answer, Ready):
            worker.discard()
            raise ConfigurationError(f"execution='process': {answer.reason}")
        return worker

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended, and its programs have been killed."""
        return self._ended.done()

    @property
    def is_discarded(self) -> bool:
        """Whether it takes no more jobs."""
        return self._socket.fileno() < 0

    async def run(self, request: bytes) -> Any:
        """Run the job in the frame ``request``; gives or raises what the consumer did.

        Raises ``WorkerCrashedError`` when the process died under the job.
        """
        self.jobs += 1
        return value_of(await self._ask(request))

    def retire(self) -> None:
        """Let the process end in order: it gets no more jobs."""
        self._socket.close()
        asyncio.get_running_loop().call_later(RETIRE_S, self.kill)

    def kill(self) -> None:
        """Kill the process and the programs it has started, at once."""
        if not self.has_ended:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def discard(self) -> None:
        """Kill the process, and give up its socket; while no job waits for an answer of it."""
        self.kill()
        self._socket.close()

    async def _ask(self, request: bytes) -> Any:
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_sendall(self._socket, request)
            (length,) = LENGTH.unpack(await self._receive(loop, LENGTH.size))
            return pickle.loads(await self._receive(loop, length))  # noqa: S301 - our own process
        except (OSError, EOFError):
            code = await self._exit_code()
        raise WorkerCrashedError(f"the job's process died (exit code {code})")

    async def _receive(self, loop: asyncio.AbstractEventLoop, length: int) -> bytearray:
        body = bytearray(length)
        rest = memoryview(body)
        while rest:
            count = await loop.sock_recv_into(self._socket, rest)
            if not count:
                raise EOFError
            rest = rest[count:]
        return body

    async def _exit_code(self) -> int:
        ended = asyncio.shield(asyncio.wrap_future(self._ended))
        await asyncio.wait({ended}, timeout=END_S)
        if not ended.done():
            self.kill()
        return await ended

    def _wait(self) -> None:
        code = self._process.wait()
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: no permission for zombies
            os.killpg(self._process.pid, signal.SIGKILL)
        self._ended.set_result(code)
        _running.discard(self)
        with contextlib.suppress(OSError):  # it may be closed already
            # Whoever waits for an answer wakes up, even if a program of the consumer's still has the other end.
            self._socket.shutdown(socket.SHUT_RDWR)
        os.close(self._lifeline)

    def leave_to_parent(self) -> None:
        """In a forked child: the process is the parent's, and must notice the parent's end."""
        self._socket.close()
        os.close(self._lifeline)


def _popen(connection: int, lifeline: int) -> subprocess.Popen[bytes]:
    """A process that handles no stop signal until it has chosen what to do with them."""
    executable = os.fsdecode(get_executable())
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined] # as multiprocessing does
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        return subprocess.Popen(  # noqa: S603 - our own program
            [executable, *flags, "-c", program(connection, lifeline)],
            pass_fds=(connection, lifeline),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


_running: set[WorkerProcess] = set()


@call_in_child
def _leave_all_to_parent() -> None:
    while _running:
        _running.pop().leave_to_parent()
