"""The program of a worker process: imports the consumer, then runs jobs one by one until its socket closes."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import contextvars
import faulthandler
import functools
import importlib.util
import inspect
import multiprocessing.process
import os
import pickle
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, BinaryIO, NamedTuple

from auth_worker.core.error_text import error_text, error_trace
from auth_worker.core.run import current_run, trace_id_of
from auth_worker.core.validation_errors import is_about
from auth_worker.engine.executors.leaks import LeakDetector
from auth_worker.engine.executors.local import call
from auth_worker.engine.executors.process_setup import MainModule, Setup
from auth_worker.engine.executors.process_tree import MARK, adopt_orphans, end_descendants
from auth_worker.engine.executors.remote_actions import RemoteActions
from auth_worker.engine.executors.transport import (
    LENGTH,
    ActionRequest,
    Raised,
    Ready,
    Returned,
    SetupFailed,
    answer_of,
    framed_answer,
    job_of,
    raised,
    returned,
)
from auth_worker.errors import InvalidJobDataError
from auth_worker.job import Job
from auth_worker.system.handled_signals import remember_handlers, signals_to_handle
from auth_worker.system.main_reimport import GUARD, loading_consumer
from auth_worker.system.standard_streams import fill_standard_descriptors

LOGS = "auth_worker.observability.logs"


class RemoteRun(NamedTuple):
    """The ``CurrentRun`` in a worker process, whose run is in the service."""

    job: Job
    traceparent: str

    @property
    def trace_id(self) -> str:
        """As in ``CurrentRun``."""
        return trace_id_of(self.traceparent)


def main(connection: int, lifeline: int) -> None:
    """Run the jobs that come on the socket ``connection``; die when ``lifeline`` closes."""
    for descriptor in (connection, lifeline):
        os.set_inheritable(descriptor, False)
    fill_standard_descriptors()
    faulthandler.enable(2)  # a crash of native code shows on standard error where it was
    die_with_parent(lifeline)
    adopt_orphans()
    atexit.register(end_descendants, os.getpid(), os.environ[MARK])  # runs last
    ignore_stop_signals()
    with socket.socket(fileno=connection) as service, service.makefile("rb") as stream:
        setup: Setup = pickle.loads(_read(stream))  # noqa: S301 - from the service
        consumer = load(setup)
        streams, leaks = standard_streams(), LeakDetector()
        service.sendall(framed_answer(consumer if isinstance(consumer, SetupFailed) else Ready()))
        while not isinstance(consumer, SetupFailed):
            try:
                job, traceparent = job_of(_read(stream))
            except EOFError:
                break
            actions = RemoteActions(functools.partial(_ask, service, stream))
            job.attach(actions)
            context = contextvars.copy_context()  # of its own, which ends with the job
            answer = context.run(run_job, consumer, job, traceparent, setup.max_result_bytes)
            actions.end()
            ended = tuple(getattr(consumer, "ended_resources", ()))
            is_last = (
                leaks.finds_leak(failed=isinstance(answer, Raised)) or standard_streams() != streams or bool(ended)
            )
            service.sendall(framed_answer(answer._replace(is_last=is_last, ended=ended)))


def standard_streams() -> list[tuple[int, int] | None]:
    """Return device and inode of the descriptors 0 to 2, None for one that is closed.

    After a consumer that has closed or replaced one, the next file that is opened may get its number, and the
    output of later jobs would go into it.
    """
    found: list[tuple[int, int] | None] = []
    for number in range(3):
        try:
            status = os.fstat(number)
        except OSError:
            found.append(None)
        else:
            found.append((status.st_dev, status.st_ino))
    return found


def _ask(service: socket.socket, stream: BinaryIO, request: ActionRequest) -> Any:
    service.sendall(framed_answer(request))
    return answer_of(_read(stream))


def _read(stream: BinaryIO) -> bytes:
    header = stream.read(LENGTH.size)
    if len(header) < LENGTH.size:
        raise EOFError
    return stream.read(*LENGTH.unpack(header))


def die_with_parent(lifeline: int) -> None:
    """Kill this process group once the other end of ``lifeline`` is closed.

    On Linux the kernel does so, whatever the consumer does: a regular expression may hold the interpreter for
    hours. Source: fcntl(2), F_SETSIG and F_SETOWN.

    ``multiprocessing.parent_process()`` gives the service here, as in a process of ``multiprocessing``: consumers
    ask it whether they run in a process of their own. Only private names set it, and it is made only there.
    """
    parent = multiprocessing.process._ParentProcess("MainProcess", os.getppid(), os.dup(lifeline))  # type: ignore[attr-defined]
    multiprocessing.process._parent_process = parent  # type: ignore[attr-defined]
    if sys.platform == "linux":
        import fcntl

        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, os.O_ASYNC)
        if parent.is_alive():
            return
    threading.Thread(target=_kill_at_end_of, args=(lifeline,), name="auth-worker-lifeline", daemon=True).start()


def _kill_at_end_of(lifeline: int) -> None:
    os.read(lifeline, 1)
    os.killpg(0, signal.SIGKILL)


def ignore_stop_signals() -> None:
    """Ignore stop signals: the service decides when its processes end.

    Programs they start have the usual handlers.
    """
    numbers = [number for number in signals_to_handle() if signal.getsignal(number) is not signal.SIG_IGN]
    remember_handlers(numbers)
    for number in numbers:
        signal.signal(number, _ignored)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)


def _ignored(number: int, frame: FrameType | None) -> None:
    """Do nothing. A handler, since programs would inherit an ignored signal."""


def load(setup: Setup) -> Callable[[Job], Any] | SetupFailed:
    """Import the modules of the consumer and return it, or why there is none."""
    sys.argv[:] = setup.arguments
    if setup.logging is not None:
        from auth_worker.observability.logs import repeat_setup

        repeat_setup(setup.logging)
    with loading_consumer():
        try:
            if setup.main is not None:
                _import_main(setup.main)
            consumer: Callable[[Job], Any] = pickle.loads(setup.consumer)  # noqa: S301 - from the service
        except BaseException as error:
            return SetupFailed(
                f"the worker process cannot import {setup.name}: {type(error).__name__}: {error_text(error)}; "
                f"define it above what runs the service, or {GUARD}",
                error_trace(error),
            )
    return consumer


def _import_main(main: MainModule) -> None:
    """Import the service's main module as multiprocessing does, up to where it would run the service."""
    module = ModuleType("__mp_main__")
    module.__file__ = main.path
    if main.name is not None:
        spec = importlib.util.find_spec(main.name)
        if spec is None or spec.loader is None:
            raise ModuleNotFoundError(f"No module named {main.name!r}", name=main.name)
        code = spec.loader.get_code(main.name)  # type: ignore[attr-defined] # of every loader of Python code
        module.__spec__, module.__package__, module.__loader__ = spec, spec.parent, spec.loader
    else:
        code = compile(Path(main.path).read_bytes(), main.path, "exec")
    sys.modules["__main__"] = sys.modules["__mp_main__"] = module
    with contextlib.suppress(SystemExit):  # of stop_reimported_main: what is defined by then is there
        exec(code, module.__dict__)  # noqa: S102 - it is what the user runs


def run_job(
    consumer: Callable[[Job], Any], job: Job, traceparent: str, max_result_bytes: int
) -> Returned | Raised:
    """Call the consumer.

    A result that cannot go back to the service would end the process as if it had crashed.
    """
    current_run.set(RemoteRun(job, traceparent))
    if traceparent:
        from auth_worker.observability.telemetry import continue_trace

        continue_trace(traceparent)
    try:
        return returned(call(functools.partial(_completed, consumer), job), max_result_bytes)
    except BaseException as error:
        trace = error_trace(error, job.data)
        if is_about(error, job.data):  # its inputs are copies in the service's process
            error = InvalidJobDataError(error_text(error))
        return raised(error, trace)
    finally:
        if (logs := sys.modules.get(LOGS)) is not None:  # imported by nobody, it has no lines
            logs.drain_streams()  # this process may be killed as soon as nothing runs in it


def _completed(consumer: Callable[[Job], Any], job: Job) -> Any:
    """Return the result of the consumer, which may be a plain ``def`` that returns a coroutine."""
    value = consumer(job)
    return asyncio.run(_awaited(value)) if inspect.isawaitable(value) else value


async def _awaited(value: Any) -> Any:
    return await value
