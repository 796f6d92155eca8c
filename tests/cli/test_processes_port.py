"""The one port of several processes answers its probes whatever others do at it."""

from __future__ import annotations

import socket
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from cli.commands import Worker
from embedded_users import eventually
from servers import free_port

APP = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
from auth_worker import WorkerService
service = WorkerService()
@service.processor("work")
async def consume(job):
    pass
"""


def status(port: int, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as reply:
            return int(reply.status)
    except OSError:
        return 0


@pytest.mark.parametrize("sent", [b"", b"GET /livez HTT"])
def test_silent_connections_keep_no_probe_of_several_processes_from_its_answer(
    folder: Path, worker: Callable[..., Worker], redis_url: str, sent: bytes
) -> None:
    (folder / "app.py").write_text(APP)
    port = free_port()
    parent = worker(
        "app:service", "--processes", 2, "--redis", redis_url, http_port=str(port), ready="Worker ready"
    )
    eventually(lambda: status(port, "/readyz") == 200, "not all are ready", 30)
    with ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5)).sendall(sent)
        for path in ("/livez", "/readyz", "/startupz"):
            started = time.monotonic()
            assert status(port, path) == 200
            assert time.monotonic() - started < 1
    assert parent.end() == 0
