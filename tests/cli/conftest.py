"""A folder for the command line to run in, and this process's environment as it was, afterwards."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from support.command_line import Run, Worker, run_here
from support.embedded_users import nothing_runs
from support.polling import wait_until


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with the state directory ``state``, in which nothing may run any more at the end."""
    environment, path = dict(os.environ), list(sys.path)
    for name in environment:
        if name.startswith("AUTH_WORKER_"):
            del os.environ[name]
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:] = path
    wait_until(lambda: nothing_runs(tmp_path / "state"), "a daemon or server is left over")


@pytest.fixture
def worker(folder: Path) -> Iterator[Callable[..., Worker]]:
    """Starts workers in ``folder``; those a test leaves behind are killed."""
    workers: list[Worker] = []

    def start(*arguments: Any, **settings: Any) -> Worker:
        workers.append(Worker(folder, *arguments, **settings))
        return workers[-1]

    yield start
    for one in workers:
        if one.process.poll() is None:
            one.kill()


@pytest.fixture
def client(folder: Path, redis_url: str) -> Iterator[redis.Redis]:
    """The broker, to look what a command did."""
    with redis.Redis.from_url(redis_url, decode_responses=True) as connected:
        yield connected


@pytest.fixture
def run(folder: Path, redis_url: str, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command line in this process: exit code, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run_here(*arguments, "--redis", redis_url)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run
