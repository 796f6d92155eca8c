"""A process that runs jobs of one consumer, as the service sees it.

It leads a session of its own, so that signals from a terminal do not reach it, and is killed together with the
programs it has started. It ends when the service has ended, however that happened: then its lifeline closes, a
pipe whose other end the service holds. No signal is sent to its id once it is reaped, since the id may be another
process's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import threading
import uuid
from concurrent.futures import Future
from multiprocessing.spawn import get_executable
from typing import Any

from auth_worker.core.run import current_run
from auth_worker.engine.executors.exit_codes import describe_exit
from auth_worker.engine.executors.frame_reader import FrameReader
from auth_worker.engine.executors.process_setup import program
from auth_worker.engine.executors.process_tree import MARK, end_programs, stop_group
from auth_worker.engine.executors.remote_actions import perform_request
from auth_worker.engine.executors.transport import (
    ActionRequest,
    EndedResources,
    ProcessTraceback,
    Ready,
    answer_of,
    framed_answer,
    framed_job,
    value_of,
)
from auth_worker.errors import ConfigurationError, WorkerCrashedError
from auth_worker.job import Job
from auth_worker.system.forks import call_in_child
from auth_worker.system.handled_signals import STOP_SIGNALS

END_S = 1.0
"""How long (s) a process that has closed its socket may take to end before it is killed."""
RETIRE_S = 5.0
"""How long (s) a process may take to end by itself once it gets no more jobs."""
READY_S = 60.0
"""How long (s) a process may take to import the consumer."""


class WorkerProcess:
    """A worker process, created by ``start``.

    It runs one job at a time; ``jobs`` counts them. ``is_spent``: it must run no further job.
    ``ended_resources`` are those that have ended by themselves, and why.
    """

    def __init__(self) -> None:
        self.jobs = 0
        self.is_spent = False
        self.ended_resources: EndedResources = ()
        self._socket, theirs = socket.socketpair()
        self._socket.setblocking(False)
        self._reader = FrameReader(self._socket)
        lifeline, self._lifeline = os.pipe()
        self._ended: Future[int] = Future()
        self._mark = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._killer: threading.Thread | None = None
        self._exited = False
        try:
            self._process = _popen(theirs.fileno(), lifeline, self._mark)
            self._begin_to_wait()
        except BaseException:
            self._socket.close()
            os.close(self._lifeline)
            raise
        finally:
            theirs.close()
            os.close(lifeline)

    @classmethod
    async def start(cls, setup: bytes) -> WorkerProcess:
        """Start a process with the frame ``setup``, and wait until it accepts jobs.

        Raises ``ConfigurationError`` if it cannot run the consumer, ``OSError`` if no process can be started.
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
                    f"execution='process': the worker process did not become ready: {reason}"
                ) from None
            raise
        if not isinstance(answer, Ready):
            worker.discard()
            raise ConfigurationError(f"execution='process': {answer.reason}") from ProcessTraceback(answer.trace)
        return worker

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended, and its programs have been killed."""
        return self._ended.done()

    @property
    def is_alive(self) -> bool:
        """Whether the process has not closed its socket, which it does at its end."""
        return not (self.has_ended or self._reader.look_for_end())

    @property
    def is_discarded(self) -> bool:
        """Whether it accepts no more jobs."""
        return self._socket.fileno() < 0

    async def run(self, job: Job) -> Any:
        """Run a job, and perform what it requests of its queue. Returns or raises what the consumer did.

        Raises ``WorkerCrashedError`` if the process died under the job.
        """
        self.jobs += 1
        run = current_run.get()
        answer = await self._ask(framed_job(job, run.traceparent if run is not None else ""))
        while isinstance(answer, ActionRequest):
            answer = await self._ask(framed_answer(await perform_request(answer, job)))
        self.is_spent, self.ended_resources = answer.is_last, answer.ended
        return value_of(answer)

    def retire(self) -> None:
        """Give the process no more jobs, so that it ends by itself, or is killed after 5 s."""
        self._close()
        asyncio.get_running_loop().call_later(RETIRE_S, self.kill)

    async def retire_and_wait(self) -> None:
        """As ``retire``, and wait for the end."""
        self._close()
        ended = asyncio.shield(asyncio.wrap_future(self._ended))
        await asyncio.wait({ended}, timeout=RETIRE_S)
        self.kill()

    def kill(self) -> None:
        """Kill the process and the programs it has started.

        It is stopped at once, and ends a moment later, when its programs have been found. The service does not
        exit before.
        """
        with self._lock:
            if self._exited or self._killer is not None:
                return
            stop_group(self._process.pid)
            name = f"auth-worker-end-{self._process.pid}"
            self._killer = threading.Thread(target=self._end, name=name, daemon=False)
            try:
                self._killer.start()
            except RuntimeError:  # no more threads, or the interpreter exits
                self._killer = None
                self._end()

    def discard(self) -> None:
        """Kill the process and release its socket. No job may wait for an answer of it."""
        self.kill()
        self._close()

    def _close(self) -> None:
        if not self.is_discarded:
            self._reader.close()
            self._socket.close()

    async def _ask(self, request: bytes) -> Any:
        loop = asyncio.get_running_loop()
        try:
            await self._send(loop, request)
            return answer_of(await self._reader.next())
        except (OSError, EOFError):
            raise WorkerCrashedError(await self._why_it_died()) from None

    async def _send(self, loop: asyncio.AbstractEventLoop, request: bytes) -> None:
        try:
            sent = self._socket.send(request)
        except BlockingIOError:
            sent = 0
        if sent < len(request):
            await loop.sock_sendall(self._socket, memoryview(request)[sent:])

    async def _why_it_died(self) -> str:
        ended = asyncio.shield(asyncio.wrap_future(self._ended))
        await asyncio.wait({ended}, timeout=END_S)
        if ended.done():
            return f"the job's process died ({describe_exit(await ended)})"
        self.kill()
        await ended
        return "the job's process died (it was killed, since the consumer had closed the socket to the service)"

    def _end(self) -> None:
        end_programs(self._process.pid, self._mark)

    def _begin_to_wait(self) -> None:
        _running.add(self)
        waiting = threading.Thread(target=self._wait, name=f"auth-worker-process-{self._process.pid}", daemon=True)
        try:
            waiting.start()
        except RuntimeError:  # the system gives no more threads
            _running.discard(self)
            self._process.kill()
            self._process.wait()
            raise

    def _wait(self) -> None:
        is_ours = _wait_for_exit(self._process)
        with self._lock:
            self._exited = True
        if self._killer is not None:
            self._killer.join()
        _running.discard(self)
        os.close(self._lifeline)  # first, since a service with no descriptor left needs one to find the programs
        try:
            end_programs(self._process.pid if is_ours else None, self._mark)
        finally:
            self._ended.set_result(self._process.wait())
            with contextlib.suppress(OSError):  # it may be closed already
                # Who waits for an answer wakes up, even if a program of the consumer's still has the other end.
                self._socket.shutdown(socket.SHUT_RDWR)

    def leave_to_parent(self) -> None:
        """In a forked child: leave the process to the parent, at whose end it must die."""
        self._socket.close()  # the loop's watch stays: it is the parent's too
        os.close(self._lifeline)


def _wait_for_exit(process: subprocess.Popen[bytes]) -> bool:
    """Wait until ``process`` has exited, and leave it to be reaped. Returns whether its id is still its own.

    macOS before Python 3.13 has no ``waitid``: there it is reaped here, and for the moment until its programs are
    killed nothing keeps its id.
    """
    if not hasattr(os, "waitid"):
        process.wait()
        return True
    try:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    except ChildProcessError:  # something else in the service reaps all children, or ignores SIGCHLD
        return False
    return True


def _popen(connection: int, lifeline: int, mark: str) -> subprocess.Popen[bytes]:
    """Start a process that handles no stop signal until it has chosen how."""
    executable = os.fsdecode(get_executable())
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined] # as multiprocessing does
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        return subprocess.Popen(  # noqa: S603 - our own program
            [executable, *flags, "-c", program(connection, lifeline)],
            pass_fds=(connection, lifeline),
            stdin=subprocess.DEVNULL,
            env={**os.environ, MARK: mark},
            start_new_session=True,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


_running: set[WorkerProcess] = set()


@call_in_child
def _leave_all_to_parent() -> None:
    while _running:
        _running.pop().leave_to_parent()
