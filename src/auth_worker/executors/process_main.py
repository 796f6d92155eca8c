"""The program of a worker process: imports the consumer, then runs jobs one by one until its socket closes."""

from __future__ import annotations

import asyncio
import contextlib
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
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, BinaryIO

from auth_worker.error_text import error_text, error_trace
from auth_worker.errors import InvalidJobDataError
from auth_worker.executors.launch import MainModule, Setup
from auth_worker.executors.local import call
from auth_worker.executors.transport import LENGTH, Raised, Ready, Returned, Unfit, framed, raised, returned
from auth_worker.handled_signals import remember_handlers, signals_to_handle
from auth_worker.job import Job
from auth_worker.logs import drain_streams, repeat_setup
from auth_worker.main_reimport import GUARD, loading_consumer
from auth_worker.options import JobOptions
from auth_worker.run import Run, current_run
from auth_worker.terminal_text import visible_lines
from auth_worker.validation_errors import is_about
from auth_worker.worker_config import WORKER_CONFIG


def main(connection: int, lifeline: int) -> None:
    """Run the jobs that come on the socket ``connection``; die when ``lifeline`` closes."""
    for descriptor in (connection, lifeline):
        os.set_inheritable(descriptor, False)
    die_with_parent(lifeline)
    ignore_stop_signals()
    with socket.socket(fileno=connection) as service, service.makefile("rb") as stream:
        setup: Setup = _read(stream)
        consumer = load(setup)
        service.sendall(framed(consumer if isinstance(consumer, Unfit) else Ready()))
        while not isinstance(consumer, Unfit):
            try:
                job, trace_id = _read(stream)
            except EOFError:
                break
            service.sendall(framed(run_job(consumer, job, trace_id)))


def _read(stream: BinaryIO) -> Any:
    header = stream.read(LENGTH.size)
    if len(header) < LENGTH.size:
        raise EOFError
    return pickle.loads(stream.read(*LENGTH.unpack(header)))  # noqa: S301 - from the service


def die_with_parent(lifeline: int) -> None:
    """Kill this process group once the other end of ``lifeline`` is closed.

    On Linux the kernel does so, whatever the consumer does: a regular expression may hold the interpreter for
    hours. Source: fcntl(2), F_SETSIG and F_SETOWN.
    """
    # consumers ask multiprocessing whether they are in a process of their own
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
    """The service decides when its processes end. The programs they start have the usual handlers all the same."""
    numbers = [number for number in signals_to_handle() if signal.getsignal(number) is not signal.SIG_IGN]
    remember_handlers(numbers)
    for number in numbers:
        signal.signal(number, _ignored)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)


def _ignored(number: int, frame: FrameType | None) -> None:
    """A handler, since an ignored signal would be ignored by programs too."""


def load(setup: Setup) -> Callable[[Job], Any] | Unfit:
    """The consumer, its modules imported; or why there is none."""
    sys.argv[:] = setup.arguments
    if setup.logging is not None:
        repeat_setup(setup.logging)
    with loading_consumer():
        try:
            if setup.main is not None:
                _import_main(setup.main)
            consumer: Callable[[Job], Any] = pickle.loads(setup.consumer)  # noqa: S301 - from the service
        except BaseException as error:
            trace = "".join(traceback.format_exception(error))
            sys.stderr.write(visible_lines(trace))
            return Unfit(
                f"the worker process cannot import {setup.name}: {type(error).__name__}: {error}; define it above "
                f"what runs the service, or {GUARD}"
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


def run_job(consumer: Callable[[Job], Any], job: Job, trace_id: str) -> Returned | Raised:
    """Call the consumer. What cannot go back to the service would end the worker process, as if it had crashed."""
    run = Run(job, JobOptions({}, WORKER_CONFIG), {}, "", time.monotonic())
    run.trace_id = trace_id
    current_run.set(run)
    try:
        return returned(call(functools.partial(_completed, consumer), job))
    except BaseException as error:
        trace = error_trace(error, job.data)
        if is_about(error, job.data):  # its inputs are copies in the service's process
            error = InvalidJobDataError(error_text(error))
        return raised(error, trace)
    finally:
        drain_streams()  # this process may be killed as soon as nothing runs in it


def _completed(consumer: Callable[[Job], Any], job: Job) -> Any:
    """The result of the consumer, which may be a plain ``def`` that returns a coroutine."""
    value = consumer(job)
    return asyncio.run(_awaited(value)) if inspect.isawaitable(value) else value


async def _awaited(value: Any) -> Any:
    return await value
