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

from auth_worker.events import Problem
from auth_worker.http.client_connection import Connection
from auth_worker.supervisor.child import Child
from support.http_requests import asked, raw
from support.processors import Harness, eventually
from support.running_service import serving

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
START_S = 40
"""How long (s) a worker may take to start on a busy machine."""


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
        deadline = time.monotonic() + START_S
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
async def test_silent_and_half_sent_connections_keep_no_probe_from_its_answer(
    harness: Harness, sent: bytes
) -> None:
    async with serving(harness.url) as service:
        assert service.http_port is not None
        with await asyncio.to_thread(Flood, service.http_port, 300, sent):
            for path in ("/livez", "/readyz", "/startupz"):
                async with asyncio.timeout(5):  # the silent ones may stay for longer than that
                    assert (await asked(service.http_port, path)).status == 200


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("name", ["plain", "greedy"])
async def test_more_connections_than_descriptors_cost_no_lease_no_probe_no_core_and_no_log(
    harness: Harness, tmp_path: Path, loop: str, name: str
) -> None:
    with few_descriptors(tmp_path, harness.url, loop) as (port, process, said):
        await harness.jobs.add(name, {})
        await eventually(lambda: said.read_text().count("ran") == 1)
        before, began = _cpu_s(process.pid), time.monotonic()
        with await asyncio.to_thread(Flood, port, 300):
            for _ in range(20):
                assert (await asked(port, "/livez")).status == 200
                await asyncio.sleep(0.1)
            await harness.settled(1)
        assert said.read_text().count("ran") == 1
        assert said.stat().st_size < 10_000
        assert _cpu_s(process.pid) - before < max(2, (time.monotonic() - began) * 0.6)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def test_a_probe_waits_for_few_of_the_requests_that_others_have_sent_before_it(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = 0
    complete = Connection.on_response_complete

    def count(connection: Connection) -> None:
        nonlocal answered
        answered += 1
        complete(connection)

    monkeypatch.setattr(Connection, "on_response_complete", count)
    async with serving(harness.url) as service:
        assert service.http_port is not None
        with await asyncio.to_thread(
            Flood, service.http_port, 300, b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n" * 100
        ):
            before = answered
            assert (await asked(service.http_port, "/livez")).status == 200
            assert answered - before < 4000


async def test_who_asks_for_too_much_at_once_is_refused_and_disconnected(harness: Harness) -> None:
    asking = b"GET /api/v1/queues HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with serving(harness.url) as service:
        assert service.http_port is not None
        with await asyncio.to_thread(Flood, service.http_port, 90, asking * 300):
            for _ in range(20):  # a fresh connection may be heard before the flood
                answer = await asyncio.to_thread(raw, service.http_port, asking * 2)
                if answer.startswith((b"HTTP/1.1 429", b"HTTP/1.1 503")):
                    break
        assert answer.startswith((b"HTTP/1.1 429", b"HTTP/1.1 503")), answer
        assert answer.count(b"HTTP/1.1") == 1


async def test_what_comes_too_slowly_is_closed(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEAD_S", "BODY_S"):
        monkeypatch.setattr(f"auth_worker.http.client_connection.{name}", 0.5)
    monkeypatch.setattr("auth_worker.http.listener.SWEEP_S", 0.1)

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

    async with serving(harness.url) as service:
        assert service.http_port is not None
        head = b"POST /api/v1/operations HTTP/1.1\r\nHost: localhost\r\nX-Auth-Worker: 1\r\n"
        body = head + b"Content-Length: 99999\r\n\r\n"
        for sent in (b"GET /live", b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\nG", body):
            assert await asyncio.to_thread(drip, service.http_port, sent), sent
        assert (await asked(service.http_port, "/livez")).status == 200


async def test_pipelined_requests_are_all_answered(harness: Harness) -> None:
    request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with serving(harness.url) as service:
        assert service.http_port is not None
        last = request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        answer = await asyncio.to_thread(raw, service.http_port, request * 50 + last)
        assert answer.count(b"HTTP/1.1 200") == 51


CHUNKED = b" HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "head", [b"POST /livez", b"GET /metrics", b"POST /api/v1/queues/none/retry", b"GET /none"]
)
async def test_what_is_no_http_after_an_answer_closes_the_connection_and_fills_no_log(
    harness: Harness, head: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    def send(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(head + CHUNKED + b"5\r\nab")
            answer = connection.recv(65536)
            connection.sendall(b"cdefgh\r\nthis is no chunk")
            while connection.recv(65536):
                pass  # the rest of the answer
            return answer

    async with serving(harness.url) as service:
        assert service.http_port is not None
        assert (await asyncio.to_thread(send, service.http_port)).startswith(b"HTTP/1.1 ")
        assert (await asked(service.http_port, "/livez")).status == 200
    assert not caplog.records


@pytest.mark.parametrize("path", [b"/api/v1/queues/work/retry", b"/queue", b"/login", b"/metrics"])
async def test_a_body_that_is_no_http_is_refused_and_fills_no_log(
    harness: Harness, path: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    sent = b"POST " + path + CHUNKED.replace(b"\r\n\r\n", b"\r\nX-Auth-Worker: 1\r\n\r\n") + b"no chunk\r\n"
    async with serving(harness.url) as service:
        assert service.http_port is not None
        problems: list[Problem] = []
        service.runtime.bus.subscribe(Problem, problems.append)
        answer = await asyncio.to_thread(raw, service.http_port, sent)
        assert answer.startswith(b"HTTP/1.1 4"), answer
        assert answer.count(b"HTTP/1.1 ") == 1
        assert (await asked(service.http_port, "/livez")).status == 200
        assert not problems
    assert not caplog.records


def test_sockets_of_the_parent_are_its_users_alone(tmp_path: Path) -> None:
    child = Child(1, [], {}, tmp_path)
    try:
        assert stat.S_IMODE(Path(child.address).stat().st_mode) == 0o600
    finally:
        child.close()
