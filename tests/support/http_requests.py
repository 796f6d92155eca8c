"""Sends HTTP requests over a real socket, in a thread, so that the event loop under test may block."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple
from urllib.parse import urlencode

from prometheus_client.parser import text_string_to_metric_families

from support.processors import eventually

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Answer(NamedTuple):
    """A response."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        """The body, as JSON."""
        return json.loads(self.text)

    @property
    def reasons(self) -> str:
        """The reasons, joined into one text."""
        return "; ".join(self.json["reasons"])


def ask(
    port: int,
    path: str,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Answer:
    """Send a request to 127.0.0.1. Blocks. Raises ``OSError``."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=40)
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, names, response.read().decode())
    finally:
        connection.close()


async def asked(port: int | None, path: str, method: str = "GET", **headers: str) -> Answer:
    """Send a request without blocking. Headers are keyword arguments with underscores."""
    assert port is not None
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return await ask_apart(port, path, method, names)


async def ask_apart(
    port: int, path: str, method: str, headers: Mapping[str, str], body: bytes | None = None
) -> Answer:
    """``ask`` in a thread of its own: all of the loop's few threads may be waiting for other answers."""
    thread = ThreadPoolExecutor(1)
    try:
        return await asyncio.get_running_loop().run_in_executor(thread, ask, port, path, method, headers, body)
    finally:
        thread.shutdown(wait=False)


class Api:
    """A client of the API at ``port``, with ``token`` and the header that changes need."""

    def __init__(self, port: int | None, token: str | None = None) -> None:
        assert port is not None
        self._port = port
        self._headers = {"X-Auth-Worker": "1"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"

    async def get(self, path: str, **query: Any) -> Answer:
        """Send a GET. A list in ``query`` is a repeated parameter."""
        return await self._ask("GET", f"{path}?{urlencode(query, doseq=True)}" if query else path)

    async def post(self, path: str, body: Any = None, content_type: str = "application/json") -> Answer:
        """Send a POST."""
        return await self._ask("POST", path, body, content_type)

    async def patch(self, path: str, body: Any) -> Answer:
        """Send a PATCH."""
        return await self._ask("PATCH", path, body)

    async def put(self, path: str, body: Any) -> Answer:
        """Send a PUT."""
        return await self._ask("PUT", path, body)

    async def delete(self, path: str) -> Answer:
        """Send a DELETE."""
        return await self._ask("DELETE", path)

    async def ended(self, operation: Answer) -> dict[str, Any]:
        """Return the started bulk operation once it has ended."""
        assert operation.status == 202, operation.text

        async def look() -> dict[str, Any] | None:
            found: dict[str, Any] = (await self.get(f"/operations/{operation.json['id']}")).json
            return found if found["state"] != "running" else None

        ended: dict[str, Any] = await eventually(look, "the bulk operation has ended")
        return ended

    async def _ask(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json"
    ) -> Answer:
        headers = self._headers if body is None else {**self._headers, "Content-Type": content_type}
        sent = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        return await ask_apart(self._port, f"/api/v1{path}", method, headers, sent)


def raw(port: int, request: bytes) -> bytes:
    """Send ``request`` as it is and return all that comes back until the other side closes; blocks."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        answer = b""
        while data := connection.recv(65536):
            answer += data
        return answer


async def scraped(port: int | None) -> Samples:
    """Every sample of ``/metrics``, by its name and labels, as the official parser reads them."""
    answer = await asked(port, "/metrics")
    assert answer.status == 200, answer.text
    return samples_of(answer.text)


def samples_of(text: str) -> Samples:
    """Every sample of an exposition in Prometheus's text format."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    """One sample."""
    return samples[name, frozenset(labels.items())]
