"""A port bound to ``::`` serves IPv4 and IPv6 alike, and tells their callers apart."""

from __future__ import annotations

import asyncio
import http.client

import pytest

from auth_worker import Settings, WorkerService
from support.ipv6 import needs_dual_stack

TOKEN = "the token of the operator"
BOTH = ("127.0.0.1", "::1")


async def status(host: str, port: int | None, path: str, token: str = "") -> int:
    def ask() -> int:
        connection = http.client.HTTPConnection(host, port, timeout=10)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
            return connection.getresponse().status
        finally:
            connection.close()

    return await asyncio.to_thread(ask)


@pytest.mark.parametrize("host", ["::", "::0", "0:0:0:0:0:0:0:0"])
async def test_it_answers_on_ipv4_and_on_ipv6(redis_url: str, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    needs_dual_stack()
    monkeypatch.setenv("AUTH_WORKER_HTTP_HOST", host)
    settings = Settings(http_port=0, http_token=TOKEN, log_level="ERROR")
    assert settings.http_host == host
    async with WorkerService(redis_url, settings=settings) as service:
        for address in BOTH:
            assert await status(address, service.http_port, "/livez") == 200
            assert await status(address, service.http_port, "/health") == 401
            assert await status(address, service.http_port, "/health", TOKEN) == 200


@pytest.mark.parametrize(("guesser", "neighbour"), [BOTH, BOTH[::-1]])
async def test_wrong_tokens_of_one_family_shut_nobody_of_the_other_out(
    redis_url: str, guesser: str, neighbour: str
) -> None:
    needs_dual_stack()
    settings = Settings(http_host="::", http_port=0, http_token=TOKEN, log_level="ERROR")
    async with WorkerService(redis_url, settings=settings) as service:
        guesses = [await status(guesser, service.http_port, "/health", f"guess {number}") for number in range(11)]
        assert guesses == [401] * 10 + [429]
        assert await status(neighbour, service.http_port, "/health", "another guess") == 401
        for address in BOTH:
            assert await status(address, service.http_port, "/health", TOKEN) == 200
