"""The command line with standard streams that are closed, full or no longer read."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from support.command_line import environment, run_here
from support.polling import wait_until
from support.warm_programs import PROGRAM

ALL_CLOSED = "<&- >&- 2>&-"


def shell(folder: Path, command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run ``command`` in a shell, where ``$A`` is the program."""
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=folder,
        env=environment(**settings) | {"A": str(PROGRAM)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


COMMANDS = ("version", "queues", "jobs q --json")
EACH = """
import os, sys
import auth_worker.brokers.embedded.broker, auth_worker.brokers.redis.operator
import auth_worker.cli.app, auth_worker.cli.jobs, auth_worker.cli.queues, auth_worker.observability.logs, uvloop
from auth_worker.cli import main
codes = []
for command in sys.argv[2:]:
    pid = os.fork()
    if not pid:
        sys.argv = ["auth-worker", *command.split()]
        main()
    codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
with open(sys.argv[1], "w") as file:
    print(*codes, file=file)
"""
"""Runs commands one after another and writes down their exit codes, in forks of a Python that has such streams."""


@pytest.mark.parametrize(
    ("streams", "code"),
    [("<&-", 0), (">&-", 0), ("2>&-", 0), (ALL_CLOSED, 0), (">/dev/full", 1), ("2>/dev/full", 0)],
)
def test_a_command_ends_with_its_code_whatever_its_streams(
    folder: Path, redis_url: str, streams: str, code: int
) -> None:
    assert run_here("add", "q", "n", "--redis", redis_url) == 0
    (folder / "each.py").write_text(EACH)
    commands = shlex.join([sys.executable, "each.py", "codes", *COMMANDS])
    done = shell(folder, f"{commands} {streams}", redis_url=redis_url)
    assert (folder / "codes").read_text().split() == [str(code)] * len(COMMANDS), done.stderr
    assert "Traceback" not in done.stderr
    assert "Assertion" not in done.stderr
    refused = "error: stdout cannot be written: No space left on device\n"
    assert done.stderr.count(refused) == (len(COMMANDS) if code else 0)


@pytest.mark.parametrize(("arguments", "code"), [("n --lines -", 1), ("n --data -", 2)], ids=["lines", "data"])
def test_a_closed_stdin_that_was_to_be_read_is_an_error(
    folder: Path, redis_url: str, arguments: str, code: int
) -> None:
    done = shell(folder, f"$A add q {arguments} <&-", redis_url=redis_url)
    assert done.returncode == code
    assert "stdin is closed" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_asks_first_takes_a_closed_stdin_for_nobody(folder: Path, redis_url: str) -> None:
    assert run_here("add", "q", "n", "--redis", redis_url) == 0
    done = shell(folder, "$A drain q <&-", redis_url=redis_url)
    assert done.returncode == 2
    assert "--yes" in done.stderr


COMMAND_LINE, SCRIPT = f"{PROGRAM} run app:service --http-port none", f"{sys.executable} app.py"


@pytest.mark.parametrize(
    ("program", "execution", "streams"),
    [
        (COMMAND_LINE, "thread", ALL_CLOSED),
        (COMMAND_LINE, "thread", "2>/dev/full"),
        (COMMAND_LINE, "process", ALL_CLOSED),
        (COMMAND_LINE, "process", "<&- 2>&-"),
        (SCRIPT, "thread", ALL_CLOSED),
        (SCRIPT, "process", ALL_CLOSED),
        (SCRIPT, "process", "2>&-"),
    ],
)
def test_a_worker_works_without_a_log(
    folder: Path, redis_url: str, program: str, execution: str, streams: str
) -> None:
    (folder / "app.py").write_text(f"""
import asyncio, subprocess, sys
from auth_worker import Settings, WorkerService
service = WorkerService(settings=Settings(http_port=None))

@service.processor("work", worker_config={{"attempts": 1}}, execution={execution!r})
def consume(job):
    print("to stdout")
    print("to stderr", file=sys.stderr)
    subprocess.run(["sh", "-c", "true <&0 >&1 2>&2"], check=True)

if __name__ == "__main__":
    raise SystemExit(asyncio.run(service.run()))
""")
    worker = subprocess.Popen(
        ["bash", "-c", f"exec {program} {streams}"],
        cwd=folder,
        env=environment(redis_url=redis_url),
    )
    try:
        assert run_here("add", "work", "n", "--redis", redis_url) == 0
        with redis.Redis.from_url(redis_url) as client:
            wait_until(lambda: client.zcard("bull:work:completed") == 1, "the job is not done", 30)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0
    finally:
        worker.kill()
        worker.wait(30)


@pytest.mark.parametrize("streams", ["| head -2", "> /dev/full"])
def test_a_demo_that_nobody_reads_leaves_nothing_behind(folder: Path, tmp_path: Path, streams: str) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    done = shell(folder, f"TMPDIR={temporary} $A demo {streams}")
    assert "Traceback" not in done.stderr
    assert list(temporary.iterdir()) == []
