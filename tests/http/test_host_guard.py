"""Which requests are answered on loopback: by the Host they name, and the form they have."""

from __future__ import annotations

import asyncio

import pytest

from auth_worker.http.service_identity import IDENTITY_HEADER
from support.admin_api import ADMIN, service_at
from support.http_requests import asked, raw
from support.processors import Harness
from support.running_service import serving


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("localhost:9464", 200),
        ("LOCALHOST", 200),
        ("[::1]:1", 200),
        ("evil.example", 400),
        ("evil.example:9464", 400),
        ("127.0.0.1.evil.example", 400),
        ("localhost.", 200),
        ("LocalHost.:9464", 200),
        ("127.0.0.1.", 200),
        ("127.8.9.10", 200),
        ("[0:0:0:0:0:0:0:1]:9464", 200),
        ("[::ffff:127.0.0.1]", 200),
        ("localhost..", 400),
        ("localhost:port", 400),
        ("a@localhost", 400),
        ("localhost/evil.example", 400),
        ("10.0.0.1", 400),
        ("[::ffff:10.0.0.1]", 400),
        ("localhost.evil.example", 400),
        ("127.0.0.1@evil.example", 400),
        ("[::1", 400),
        ("", 400),
    ],
)
async def test_a_page_whose_name_was_rebound_to_loopback_gets_nothing(
    redis_url: str, host: str, status: int
) -> None:
    async with serving(redis_url) as service:
        answer = await asked(service.http_port, "/health", host=host)
        assert answer.status == status
        if status == 400:
            assert "127.0.0.1" in answer.reasons


@pytest.mark.parametrize("host", ["jobs.example.org", "jobs.example.org:8443", "localhost:port", ""])
async def test_with_tokens_any_name_is_answered_and_opens_nothing_without_one(harness: Harness, host: str) -> None:
    async with service_at(harness.url) as service:
        for path, status in (("/livez", 200), ("/health", 401), ("/metrics", 401), ("/api/v1/queues", 401)):
            answer = await asked(service.http_port, path, host=host)
            assert answer.status == status, path
            assert "process" not in answer.headers[IDENTITY_HEADER.lower()]
        assert (await asked(service.http_port, "/login", host=host)).status == 200
        assert (await asked(service.http_port, "/", host=host)).status == 303
        allowed = await asked(service.http_port, "/health", host=host, authorization=f"Bearer {ADMIN}")
        assert allowed.status == 200


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /livez HTTP/1.1\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        b"GET /livez HTTP/1.0\r\nHost:\r\n\r\n",
        b"GET /livez HTTP/1.0\r\nHost: evil.example\r\n\r\n",
        b"GET /livez HTTP/1.0\r\nOrigin: http://evil.example\r\n\r\n",
        b"GET http://evil.example/livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"\x00" * 100 + b"\r\n\r\n",
        b"GET " + b"a" * 99_999,
    ],
)
async def test_invalid_requests_are_refused(redis_url: str, request_line: bytes) -> None:
    async with serving(redis_url) as service:
        assert service.http_port is not None
        answer = await asyncio.to_thread(raw, service.http_port, request_line)
        assert answer.startswith(b"HTTP/1.1 400")
        assert (await asked(service.http_port, "/livez")).status == 200


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /livez HTTP/1.0\r\n\r\n",
        b"HEAD /readyz HTTP/1.0\r\n\r\n",
        b"GET /startupz?verbose HTTP/1.0\r\nHost: LOCALHOST:80\r\n\r\n",
        b"GET http://127.0.0.1:9464/livez HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n",
        b"GET HTTP://LOCALHOST/readyz/?a=b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    ],
)
async def test_odd_but_legal_probes_are_answered(redis_url: str, request_line: bytes) -> None:
    async with serving(redis_url) as service:
        assert service.http_port is not None
        answer = await asyncio.to_thread(raw, service.http_port, request_line)
        assert answer.startswith(b"HTTP/1.1 200"), answer
