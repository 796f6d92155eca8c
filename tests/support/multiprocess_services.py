"""A parent with several service processes, as the command line's tests use it."""

from __future__ import annotations

import contextlib
import http.client
import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

from support.command_line import Worker
from support.polling import wait_until
from support.servers import free_port

StartWorker = Callable[..., Worker]
APP = """
import asyncio
import contextlib
import http.client
import os
from auth_worker import WorkerService
service = WorkerService()
@service.processor("work", worker_config={"concurrency": 1})
async def consume(job):
    if job.name == "moment":
        await asyncio.sleep(1)
    if job.name == "wait":
        await asyncio.sleep(3600)
    while job.name == "ignore":
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
    await asyncio.sleep(0.05)
    return os.getpid()
"""


class MultiProcessService:
    """A parent with its processes, and its HTTP port."""

    def __init__(
        self, folder: Path, start: StartWorker, *arguments: object, app: str = APP, size: int = 2
    ) -> None:
        (folder / "app.py").write_text(app)
        self.port = free_port()
        sized = ("--processes", size) if size > 1 else ()
        self.parent = start("app:service", *sized, *arguments, http_port=str(self.port), ready="Worker ready")
        self.ready(size)

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The log of the parent and its processes."""
        return [json.loads(line) for line in self.parent.output.splitlines() if line.startswith("{")]

    def logged(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == event]

    @property
    def pids(self) -> list[int]:
        """The processes that were started last, in order of their numbers."""
        return list({line["process"]: line["pid"] for line in self.logged("Worker process started")}.values())

    def ask(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as reply:
                return reply.status, reply.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def send(self, method: str, path: str, source: str = "127.0.0.1", **headers: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10, source_address=(source, 0))
        with contextlib.closing(connection):
            connection.request(method, path, headers={"Host": "127.0.0.1", **headers})
            reply = connection.getresponse()
            return reply.status, json.loads(reply.read())

    def ready(self, size: int) -> None:
        wait_until(lambda: self.ask("/readyz")[0] == 200, "not all are ready", 30)
        assert len(self.pids) == size
