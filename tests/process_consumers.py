"""Consumers for worker processes, which import them from here."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import re
import subprocess
import sys
import time
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
    """As the other one, and a retry cannot help."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


def describe(job: Job) -> dict[str, Any]:
    """Tell what arrived."""
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
        case {"pid_file": path}:
            Path(path + ".part").write_text(str(os.getpid()))
            Path(path + ".part").rename(path)
            time.sleep(60)
    return "still here"


def start_programs(job: Job) -> str:
    """Start a pipeline of programs, write all process ids into files of ``folder``, then do what the data says."""
    folder, then = Path(job.data["folder"]), job.data["then"]
    (folder / "process").write_text(str(os.getpid()))
    atexit.register((folder / "ended").write_text, "in order")
    script = (
        f"echo $$ > {folder}/shell; "
        f"sh -c 'echo $$ > {folder}/left; exec sleep 600' | sh -c 'echo $$ > {folder}/right; exec cat'; true"
    )
    shell = subprocess.Popen(["sh", "-c", script])
    while not all((folder / name).exists() and (folder / name).read_text() for name in ("shell", "left", "right")):
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


def fork_and_leave(job: Job) -> Any:
    """Fork, and leave the consumer in both processes as the data says; the parent gives the child's id."""
    if job.data == "no fork":
        return os.getpid()
    if child := os.fork():
        return child
    if job.data == "raise":
        raise ValueError("in the child")
    return _nothing() if job.data == "coroutine" else "the child's"


def fork_in_coroutine(job: Job) -> Any:
    """Give a coroutine that forks, and ends in both processes."""
    return _fork()


async def _fork() -> int:
    return os.fork()


async def _nothing() -> None:
    """A coroutine of a child's."""


class Customer(BaseModel):
    """What ``validate_customer`` reads its job's data as."""

    customer_id: int


def validate_customer(job: Job) -> None:
    """Read the job's data as a customer."""
    Customer.model_validate(job.data)
