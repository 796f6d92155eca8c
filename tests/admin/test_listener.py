"""No trouble of the HTTP port costs a probe or a lease: real sockets, and a worker with few file descriptors."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from auth_worker.supervisor.child import Child
from http_asks import asked, raw
from serving import serving
from workers import Desk, eventually

APP = """
import asyncio, os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
if sys.argv[2:] == ["uvloop"]:
    import uvloop
    uvloop.install()
from auth_worker import Settings, WorkerService
service = WorkerService(sys.argv[1], settings=Settings(http_port=0))
@service.processor("work", worker_config={"lock_duration": 1000, "stalled_interval": 200})
async def consume(job):
    print("ran", flush=True)
    held = []
    if job.name == "greedy":
        try:
            while True:
                held.append(open(os.devnull))
        except OSError:
            pass
    await asyncio.sleep(4)
sys.exit(asyncio.run(service.run()))
"""


class Flood:
    """Connections to ``port`` that send ``sent`` and nothing more."""

    def __init__(self, port: int, count: int, sent: bytes = b"") -> None:
        self._stack = ExitStack()
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert soft > count + 200
        for _ in range(count):
            connection = self._stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
            if sent:
                connection.sendall(sent)

    def __enter__(self) -> Flood:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()


@contextmanager
def few_descriptors(
    folder: Path, url: str, *arguments: str
) -> Iterator[tuple[int, subprocess.Popen[bytes], Path]]:
    """A worker that may have 128 descriptors open: its port, its process, what it says."""
    app, said = folder / "app.py", folder / "said"
    app.write_text(APP)
    with said.open("wb") as output:
        process = subprocess.Popen([sys.executable, str(app), url, *arguments], stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 20
        port = None
        while port is None and time.monotonic() < deadline:
            lines = [json.loads(line) for line in said.read_text().splitlines() if line.startswith("{")]
            if any(line["event"] == "Worker ready" for line in lines):
                port = next(line["port"] for line in lines if line["event"] == "HTTP port open")
            time.sleep(0.05)
        assert port is not None, said.read_text()
        yield port, process, said
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    "sent", [b"", b"GET /livez HTT", b"POST /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"]
)
async def test_silent_and_half_sent_connections_keep_no_probe_from_its_answer(desk: Desk, sent: bytes) -> None:
    async with serving(desk.url) as service:
        assert service.http_port is not None
        with await asyncio.to_thread(Flood, service.http_port, 300, sent):
            for path in ("/livez", "/readyz", "/startupz"):
                started = time.monotonic()
                assert (await asked(service.http_port, path)).status == 200
                assert time.monotonic() - started < 1


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("name", ["plain", "greedy"])
async def test_more_connections_than_descriptors_cost_no_lease_no_probe_no_core_and_no_log(
    desk: Desk, tmp_path: Path, loop: str, name: str
) -> None:
    with few_descriptors(tmp_path, desk.url, loop) as (port, process, said):
        await desk.jobs.add(name, {})
        await eventually(lambda: said.read_text().count("ran") == 1)
        before = _cpu_s(process.pid)
        with await asyncio.to_thread(Flood, port, 300):
            for _ in range(20):
                assert (await asked(port, "/livez")).status == 200
                await asyncio.sleep(0.1)
            await desk.settled(1)
        assert said.read_text().count("ran") == 1
        assert said.stat().st_size < 10_000
        assert _cpu_s(process.pid) - before < 2


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def test_what_comes_too_slowly_is_closed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEAD_S", "BODY_S"):
        monkeypatch.setattr(f"auth_worker.admin.listener.{name}", 0.5)
    monkeypatch.setattr("auth_worker.admin.listener.SWEEP_S", 0.1)

    def drip(port: int, sent: bytes) -> bool:
        with socket.create_connection(("127.0.0.1", port), timeout=0.1) as connection:
            connection.sendall(sent)
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline:
                try:
                    connection.sendall(b"a")
                    if not connection.recv(65536):
                        return True
                except TimeoutError:
                    continue
                except OSError:
                    return True
        return False

    async with serving(desk.url) as service:
        assert service.http_port is not None
        head = b"POST /api/v1/operations HTTP/1.1\r\nHost: localhost\r\nX-Auth-Worker: 1\r\n"
        body = head + b"Content-Length: 99999\r\n\r\n"
        for sent in (b"GET /live", b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\nG", body):
            assert await asyncio.to_thread(drip, service.http_port, sent), sent
        assert (await asked(service.http_port, "/livez")).status == 200


async def test_pipelined_requests_are_all_answered(desk: Desk) -> None:
    request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with serving(desk.url) as service:
        assert service.http_port is not None
        last = request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        answer = await asyncio.to_thread(raw, service.http_port, request * 50 + last)
        assert answer.count(b"HTTP/1.1 200") == 51


def test_sockets_of_the_parent_are_its_users_alone(tmp_path: Path) -> None:
    child = Child(1, [], {}, tmp_path)
    try:
        assert stat.S_IMODE(Path(child.address).stat().st_mode) == 0o600
    finally:
        child.close()
