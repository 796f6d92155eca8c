"""Asking an HTTP port over a real socket, in a thread, so that the event loop under test may do what it likes."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
from collections.abc import Mapping
from typing import Any, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.text)

    @property
    def reasons(self) -> str:
        """The reasons, as one text."""
        return "; ".join(self.json["reasons"])


def ask(port: int, path: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> Answer:
    """Ask 127.0.0.1; blocks. Raises ``OSError``."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, headers=dict(headers or {}))
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, names, response.read().decode())
    finally:
        connection.close()


async def asked(port: int | None, path: str, method: str = "GET", **headers: str) -> Answer:
    """Ask without blocking; ``headers`` with underscores."""
    assert port is not None
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return await asyncio.to_thread(ask, port, path, method, names)


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
