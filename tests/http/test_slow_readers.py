"""Who asks for large answers and reads them slowly or never holds neither memory without bound nor a turn."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from auth_worker import Settings
from auth_worker.http.server import QuietServer
from auth_worker.supervisor import http as parent_http
from auth_worker.supervisor.child import Child
from support.admin_api import ADMIN, service_at
from support.http_requests import Api, ask, asked
from support.processors import QUEUE, Harness, eventually

LARGE = b"x" * (16 * 1024 * 1024)
"""More than the operating system takes for a client that does not read."""


class LargeAnswers:
    """An application that answers ``/livez`` shortly and everything else with ``large``; counts these."""

    def __init__(self, large: bytes = LARGE) -> None:
        self.count = 0
        self._large = large

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        is_probe = scope["path"] == "/livez"
        self.count += not is_probe
        body = b'{"healthy": true, "reasons": []}' if is_probe else self._large
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def served(app: Any, listening: socket.socket) -> AsyncIterator[None]:
    serving = asyncio.create_task(QuietServer(app, lambda: None).serve(sockets=[listening]))
    try:
        yield
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


@asynccontextmanager
async def a_port(kind: str, app: Any, folder: Path) -> AsyncIterator[int]:
    """``app`` on a port of its own, or behind the port of a parent."""
    listening = socket.create_server(("127.0.0.1", 0))
    port = int(listening.getsockname()[1])
    if kind == "service":
        async with served(app, listening):
            yield port
        return
    child = Child(1, [], {}, folder)
    child._pid = os.getpid()
    supervisor: Any = SimpleNamespace(children=[child], stopping=False, restarts=0)
    parent = parent_http.build_app(supervisor, Settings(), lambda error: None)
    try:
        async with served(app, child._listener), served(parent, listening):
            yield port
    finally:
        child.close()


@contextmanager
def silent(port: int, path: str, times: int = 1, **headers: str) -> Iterator[socket.socket]:
    """A client that has asked for ``path`` so many times on one connection, and has read nothing."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(20)
        client.connect(("127.0.0.1", port))
        given = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "localhost", **headers}.items())
        client.sendall(f"GET {path} HTTP/1.1\r\n{given}\r\n".encode() * times)
        yield client


def received(client: socket.socket, most: int = -1) -> int:
    """How many bytes come until ``most`` have, or the other side closes; blocks."""
    count = 0
    with contextlib.suppress(ConnectionError):  # an end as well
        while count != most and (data := client.recv(65536 if most < 0 else min(most - count, 65536))):
            count += len(data)
    return count


each_kind = pytest.mark.parametrize("kind", ["service", "parent"])


@each_kind
async def test_who_reads_nothing_is_closed_and_keeps_no_probe_from_its_answer(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auth_worker.http.client_connection.ANSWER_S", 0.5)
    monkeypatch.setattr("auth_worker.http.listener.SWEEP_S", 0.1)
    async with a_port(kind, LargeAnswers(), tmp_path) as port:
        with ExitStack() as stack:
            clients = [stack.enter_context(silent(port, "/large")) for _ in range(3)]
            assert (await asked(port, "/livez")).status == 200
            await asyncio.sleep(2)  # what it does not read must be closed by then
            for client in clients:
                assert await asyncio.to_thread(received, client) < len(LARGE)
        assert (await asked(port, "/livez")).status == 200


@each_kind
async def test_who_reads_steadily_gets_the_whole_answer(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part that was read gives time for the next, so a slow line is no reason to be closed."""
    monkeypatch.setattr("auth_worker.http.client_connection.ANSWER_S", 2.0)
    monkeypatch.setattr("auth_worker.http.listener.SWEEP_S", 0.1)

    def read_steadily(client: socket.socket) -> int:
        count, until = 0, time.monotonic() + 3.0
        while time.monotonic() < until:
            count += len(client.recv(4096))
            time.sleep(0.001)
        return count + received(client, len(LARGE) - count)

    async with a_port(kind, LargeAnswers(), tmp_path) as port:
        with silent(port, "/large") as client:
            assert await asyncio.to_thread(read_steadily, client) == len(LARGE)


@each_kind
async def test_unread_answers_are_bounded_in_all(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room for two beside the last one; who was answered first goes first."""
    monkeypatch.setattr("auth_worker.http.listener.MOST_UNREAD", int(2.9 * len(LARGE)))
    app = LargeAnswers()
    async with a_port(kind, app, tmp_path) as port:
        with ExitStack() as stack:
            clients = []
            for _ in range(8):
                clients.append(stack.enter_context(silent(port, "/large")))
                await eventually(lambda: app.count == len(clients))
                await asyncio.to_thread(received, clients[-1], 1)
            whole = [await asyncio.to_thread(received, client, len(LARGE)) == len(LARGE) for client in clients]
        assert whole[:4] == [False] * 4
        assert whole[-1]
        assert sum(whole) <= 3
        assert (await asked(port, "/livez")).status == 200


@each_kind
async def test_the_next_request_of_a_connection_waits_until_the_last_answer_is_read(
    kind: str, tmp_path: Path
) -> None:
    app = LargeAnswers()
    async with a_port(kind, app, tmp_path) as port:
        with silent(port, "/large", times=5) as client:
            await eventually(lambda: app.count)
            for _ in range(5):
                assert (await asked(port, "/livez")).status == 200
            assert app.count == 1
            await asyncio.to_thread(received, client, 5 * len(LARGE))
            assert app.count == 5


@each_kind
async def test_a_probe_is_answered_before_those_who_ask_without_pause(kind: str, tmp_path: Path) -> None:
    """Of fifty clients with forty requests each in hand, a few are answered first, and not all in each turn."""
    app = LargeAnswers(b"")
    async with a_port(kind, app, tmp_path) as port:
        with ExitStack() as stack:
            for _ in range(50):
                stack.enter_context(silent(port, "/short", times=40))
            await eventually(lambda: app.count >= 100, "two answers for each")
            before = app.count
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            assert app.count - before < 100
            writer.close()
            await eventually(lambda: app.count >= 500, "the others go on")


async def test_who_does_not_read_has_no_turn_of_the_api(harness: Harness) -> None:
    async with service_at(harness.url) as service:
        api, port = Api(service.http_port, ADMIN), service.http_port
        assert port is not None
        await api.post("/service/pause")
        added = await api.post(f"/queues/{QUEUE}/jobs", {"name": "large"})
        path = f"/queues/{QUEUE}/jobs/{added.json['id']}?reveal=true"
        await harness.redis.hset(f"bull:{QUEUE}:{added.json['id']}", "data", json.dumps("x" * 8_000_000))
        with ExitStack() as stack:
            for _ in range(8):
                client = silent(port, f"/api/v1{path}", 2, Authorization=f"Bearer {ADMIN}")
                await asyncio.to_thread(received, stack.enter_context(client), 1)
            answer = await asyncio.to_thread(
                ask, port, "/api/v1/queues", "GET", {"Authorization": f"Bearer {ADMIN}"}
            )
            assert answer.status == 200
