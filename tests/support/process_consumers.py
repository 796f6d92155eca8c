"""Consumers for worker processes, which import them from here."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from auth_worker.errors import Delay, InvalidJobDataError, UnrecoverableError
from auth_worker.job import Job


class UnpicklableError(Exception):
    """Its constructor does not take what an exception is rebuilt from."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


class HopelessError(UnrecoverableError):
    """The same, but a retry cannot help."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


def describe(job: Job) -> dict[str, Any]:
    """Return what arrived."""
    return {
        "id": job.id,
        "data": job.data,
        "attempt": job.attempt,
        "token": job.token,
        "own_process": multiprocessing.parent_process() is not None,
    }


def anything(job: Job) -> Any:
    """Do what the data says."""
    match job.data:
        case "value":
            raise ValueError("boom")
        case "delay":
            raise Delay(5)
        case "invalid":
            raise InvalidJobDataError("no", [{"field": "email", "message": "is required"}])
        case "group":
            raise ExceptionGroup("two", [ValueError("boom"), Delay(5)])
        case "unpicklable group":
            raise ExceptionGroup("two", [UnpicklableError(1, 2), HopelessError(1, 2)])
        case "unpicklable":
            raise UnpicklableError(1, 2)
        case "hopeless":
            raise HopelessError(1, 2)
        case "stop":
            raise StopIteration
        case "exit":
            sys.exit(3)
        case "result":
            return lambda: None
        case "die":
            os._exit(7)
        case {"signal": number}:
            os.kill(os.getpid(), number)
        case "close all":
            os.closerange(3, 100)
        case "close all and go on":
            os.closerange(3, 100)
            time.sleep(60)
        case {"pid_file": path}:
            Path(path + ".part").write_text(str(os.getpid()))
            Path(path + ".part").rename(path)
            time.sleep(60)
    return "still here"


def ask_queue(job: Job) -> Any:
    """Ask the job's queue for what the data says, in the way it says."""
    match job.data:
        case {"do": "all"}:
            job.sync.update_progress({"percent": 50})
            job.sync.extend_lease()
            return [
                job.sync.log("half way"),
                job.progress,
                job.sync.children_values(),
                job.sync.children_failures(),
                job.cancelled.is_set(),
            ]
        case {"do": "await"}:
            return _log_twice(job)
        case {"do": "threads", "rows": rows}:
            with ThreadPoolExecutor(8) as threads:
                return list(threads.map(job.sync.log, map(str, range(rows))))
        case {"do": "no JSON"}:
            job.sync.update_progress(lambda: None)
        case {"do": "fork"}:
            if child := os.fork():
                return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            try:
                job.sync.log("in the child")
            except RuntimeError:
                os._exit(7)
            os._exit(0)
        case {"do": "keep"}:
            _kept.append(job)
        case {"do": "use kept"}:
            _kept.pop().sync.log("too late")
    return job.sync.log("a row")


_kept: list[Job] = []


async def _log_twice(job: Job) -> list[int]:
    return [await job.log("one"), await job.log("two")]


PIPELINE = ("shell", "left", "right")


def start_programs(job: Job) -> str:
    """Start a pipeline of programs, write all process ids into files of ``folder``, then do what the data says."""
    folder, then = Path(job.data["folder"]), job.data["then"]
    for name in PIPELINE:
        (folder / name).unlink(missing_ok=True)
    (folder / "process").write_text(str(os.getpid()))
    atexit.register((folder / "ended").write_text, "in order")
    script = (
        f"echo $$ > {folder}/shell; "
        f"sh -c 'echo $$ > {folder}/left; exec sleep 600' | sh -c 'echo $$ > {folder}/right; exec cat'; true"
    )
    shell = subprocess.Popen(["sh", "-c", script])
    while not all((folder / name).exists() and (folder / name).read_text() for name in PIPELINE):
        time.sleep(0.01)
    match then:
        case "exit":
            os._exit(7)
        case "abort":
            os.abort()
        case "wait":
            shell.wait()
        case "hold the interpreter":
            re.match(r"(a+)+$", "a" * 60 + "b")
    shell.returncode = 0  # left behind on purpose
    return "done"


SESSIONS = ("session", "child of a session", "daemon", "with an empty environment", "daemon without environment")


def start_sessions(job: Job) -> str:
    """Start programs that leave the process group, write their ids into ``folder``, then do what the data says.

    Each is still at work on what it inherited when the job's process ends; ``daemon`` has no parent by then.
    """
    folder, then = Path(job.data["folder"]), job.data["then"]
    subprocess.Popen(
        ["sh", "-c", f"echo $$ > '{folder}/session'; sleep 600 & echo $! > '{folder}/child of a session'; wait"],
        start_new_session=True,
    )
    subprocess.run(["sh", "-c", f"setsid sh -c 'echo $$ > \"{folder}/daemon\"; exec sleep 600' & "], check=True)
    subprocess.Popen(
        [shutil.which("sh") or "/bin/sh", "-c", f"echo $$ > '{folder}/with an empty environment'; exec sleep 600"],
        env={"PATH": os.defpath},
        start_new_session=True,
    )
    subprocess.run(
        [
            "sh",
            "-c",
            f"env -i {shutil.which('setsid')} sh -c 'echo $$ > \"{folder}/{SESSIONS[-1]}\"; exec sleep 600' & ",
        ],
        check=True,
    )
    while not all((folder / name).exists() and (folder / name).read_text() for name in SESSIONS):
        time.sleep(0.01)
    (folder / "process").write_text(str(os.getpid()))
    match then:
        case "exit":
            os._exit(7)
        case "wait":
            time.sleep(600)
    return "done"


def spoil_streams(job: Job) -> int:
    """Do to the standard streams what the data says; give the id of this process."""
    match job.data:
        case {"close": number}:
            os.close(number)
        case {"close and open": number, "path": path}:
            os.close(number)
            Path(path).open("w")  # noqa: SIM115 - left open on purpose
        case {"redirect": number, "path": path}:
            with Path(path).open("w") as file:
                os.dup2(file.fileno(), number)
        case {"close and raise": number}:
            os.close(number)
            raise ValueError(os.getpid())
    return os.getpid()


def leave_files_open(job: Job) -> int:
    """Leave as many files open as the data says; give the id of this process."""
    for _ in range(job.data):
        os.open(os.devnull, os.O_RDONLY)
    return os.getpid()


def use_up_files(job: Job) -> int:
    """Tell the id of this process, or open files until the system gives no more."""
    while job.data == "use up":
        os.open(os.devnull, os.O_RDONLY)
    return os.getpid()


_noted: ContextVar[str] = ContextVar("_noted", default="nothing")


def note_in_context(job: Job) -> str:
    """Tell what the context variable has, and set it to the job's data."""
    before = _noted.get()
    _noted.set(job.data)
    return before


def leave_orphans(job: Job) -> int:
    """Start as many programs as the data says that lose their parent and end; give the id of this process."""
    subprocess.run(["sh", "-c", "true & " * job.data], check=True)
    return os.getpid()


def fork_and_leave(job: Job) -> Any:
    """Fork, and return from the consumer in both processes as the data says. The parent returns the child's id."""
    if job.data == "no fork":
        return os.getpid()
    if child := os.fork():
        return child
    if job.data == "raise":
        raise ValueError("in the child")
    return _nothing() if job.data == "coroutine" else "the child's"


def fork_in_coroutine(job: Job) -> Any:
    """Return a coroutine that forks, and ends in both processes."""
    return _fork()


async def _fork() -> int:
    return os.fork()


async def _nothing() -> None:
    """A coroutine that runs in a child."""


class Customer(BaseModel):
    """The model that ``validate_customer`` validates its job's data with."""

    customer_id: int


def validate_customer(job: Job) -> None:
    """Validate the job's data as a customer."""
    Customer.model_validate(job.data)
