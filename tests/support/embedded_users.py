"""Other processes that use the embedded broker, and checks of its processes and locks."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from auth_worker.brokers.embedded.daemon import FileLock, Place

USER = """
import sys
from pathlib import Path
from auth_worker.brokers.embedded.broker import EmbeddedBroker
with EmbeddedBroker(Path(sys.argv[1])) as broker:
    print(broker.url, flush=True)
    sys.stdin.read()
"""


class User:
    """Another process that uses the broker until it is told to leave, or killed."""

    def __init__(self, state_dir: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", USER, str(state_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()

    def leave(self) -> None:
        self.process.communicate(timeout=30)
        assert self.process.returncode == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=30)


def nothing_runs(state_dir: Path) -> bool:
    """Whether no process holds the locks that each daemon and each server holds while it lives."""
    place = Place(state_dir / "broker")
    if not place.directory.exists():
        return True
    with FileLock(place.daemon_lock) as daemons, FileLock(place.server_lock) as servers:
        return daemons.take() and servers.take()


def ask(url: str, *command: Any) -> Any:
    client = redis.Redis.from_url(url, socket_timeout=10, retry=Retry(NoBackoff(), 0))
    with contextlib.closing(client):
        return client.execute_command(*command)  # type: ignore[no-untyped-call]


def reachable(url: str) -> bool:
    with contextlib.suppress(redis.RedisError):
        return bool(ask(url, "PING"))
    return False


def server_pid(url: str) -> int:
    return int(ask(url, "INFO", "server")["process_id"])


def another_server(url: str, than: int) -> bool:
    """Whether a server answers that is not the process ``than``."""
    with contextlib.suppress(redis.RedisError):
        return server_pid(url) != than
    return False


def daemon_pid(url: str) -> int:
    found = subprocess.run(
        ["ps", "-o", "ppid=", "-p", str(server_pid(url))], capture_output=True, text=True, check=True
    )
    return int(found.stdout)


def newest_aof(state_dir: Path) -> Path:
    return max((state_dir / "broker" / "data" / "appendonlydir").glob("*.incr.aof"))
