"""The HTTP port: who may ask, what an answer looks like, and which port it is."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client.openmetrics import parser as openmetrics_parser

from auth_worker import ConfigurationError, Job, Settings, WorkerService
from auth_worker.core.error_text import error_text
from auth_worker.events import Problem
from auth_worker.messages import WORKER_ERRORS, WORKER_MESSAGES
from support.http_requests import asked, raw, scraped
from support.processors import QUEUE, collect
from support.servers import free_port

TOKEN = "a long secret"
NAMES = {
    "auth_worker_jobs_total",
    "auth_worker_job_duration_seconds",
    "auth_worker_job_wait_seconds",
    "auth_worker_jobs_active",
    "auth_worker_suspects",
    "auth_worker_quarantine_seconds",
    "auth_worker_queue_jobs",
    "auth_worker_queue_oldest_job_seconds",
    "auth_worker_dead_letter_jobs",
    "auth_worker_lease_lost_total",
    "auth_worker_resources_ended_total",
    "auth_worker_event_loop_lag_seconds",
    "auth_worker_broker_up",
    "auth_worker_build_info",
}
OURS = ("/livez", "/readyz", "/startupz", "/health", "/metrics", "/nope")


async def nothing(job: Job) -> None:
    """A consumer."""


def service_with(url: str, settings: Settings, **options: Any) -> WorkerService:
    service = WorkerService(url, settings=settings, **options)
    service.register_processor(queue_name=QUEUE, processor=nothing, dead_letter_queue_name=f"{QUEUE}Dead")
    return service


@asynccontextmanager
async def serving(url: str, **settings: Any) -> AsyncIterator[WorkerService]:
    service = service_with(url, Settings(**{"http_port": 0, "log_level": "ERROR", **settings}))
    async with service:
        yield service


@pytest.mark.parametrize("path", OURS)
async def test_every_answer_is_json_with_reasons_and_safe_headers(redis_url: str, path: str) -> None:
    async with serving(redis_url) as service:
        answer = await asked(service.http_port, path, origin="https://evil.example")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert not [name for name in answer.headers if name.startswith("access-control")], "no CORS, ever"
        assert "server" not in answer.headers
        if path == "/metrics":
            assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        else:
            assert answer.headers["content-type"] == "application/json"
            assert isinstance(answer.json["reasons"], list)
        assert answer.status == (404 if path in ("/nope", "/") else 200)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_other_methods_are_refused(redis_url: str, method: str) -> None:
    async with serving(redis_url) as service:
        for path in OURS[:5]:
            answer = await asked(service.http_port, path, method, x_auth_worker="1")
            assert answer.status == 405
            assert answer.json["reasons"]
        assert (await asked(service.http_port, "/livez", "HEAD")).status == 200


async def test_metrics_and_health_want_the_token_and_probes_do_not(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auth_worker.http.login_limiter.LIMIT", 100)
    async with serving(redis_url, http_token=TOKEN) as service:
        port = service.http_port
        for path in ("/livez", "/readyz", "/startupz", "/livez/", "/readyz/?verbose", "/startupz?a=/b"):
            for authorization in ("", "Bearer wrong"):
                assert (await asked(port, path, authorization=authorization)).status == 200
        wrong = ("", TOKEN, f"Basic {TOKEN}", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}")
        for path in ("/health", "/metrics", "/nope", "//livez"):
            for authorization in wrong:
                answer = await asked(port, path, authorization=authorization)
                assert answer.status == 401, (path, authorization)
                assert answer.headers["www-authenticate"] == "Bearer"
                assert TOKEN not in answer.text
        for authorization in (f"Bearer {TOKEN}", f"bearer {TOKEN}"):
            assert (await asked(port, "/health", authorization=authorization)).status == 200
            assert (await asked(port, "/metrics", authorization=authorization)).status == 200
            assert (await asked(port, "/nope", authorization=authorization)).status == 404


async def test_beyond_loopback_the_token_protects_and_any_host_is_accepted(redis_url: str) -> None:
    async with serving(redis_url, http_host="0.0.0.0", http_token=TOKEN) as service:
        assert (await asked(service.http_port, "/livez", host="10.1.2.3:9464")).status == 200
        assert (await asked(service.http_port, "/health", host="worker.example")).status == 401


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "worker.internal", "127.0.0.1.example.com"])
async def test_strangers_can_reach_the_port_only_with_a_token(redis_url: str, host: str) -> None:
    service = service_with(redis_url, Settings(http_host=host, http_port=0, log_level="ERROR"))
    with pytest.raises(ConfigurationError, match=r"http_host .*AUTH_WORKER_HTTP_TOKEN.*127\.0\.0\.1"):
        await service.start()
    async with serving(redis_url, http_host=host, http_port=None) as without_port:
        assert without_port.http_port is None


async def test_the_metrics_have_the_names_that_were_agreed_and_no_others(redis_url: str) -> None:
    async with serving(redis_url) as service:
        samples = await scraped(service.http_port)
        names = {name for name, _ in samples if not name.startswith("process_")}
        histograms = {"auth_worker_job_duration_seconds", "auth_worker_job_wait_seconds"}
        parts = {f"{name}_{part}" for name in histograms for part in ("bucket", "count", "sum")}
        assert names == NAMES - histograms | parts
        asking = "application/openmetrics-text; version=1.0.0,text/plain;q=0.5"
        answer = await asked(service.http_port, "/metrics", accept=asking)
        assert answer.headers["content-type"].startswith("application/openmetrics-text")
        parse: Any = openmetrics_parser.text_string_to_metric_families
        assert {family.name for family in parse(answer.text)} >= {"auth_worker_jobs", "auth_worker_broker_up"}
        for strange in ("", "application/openmetrics-text; version=x;;", ";;,,=", "text/plain; version=9.9.9.9"):
            assert (await asked(service.http_port, "/metrics", accept=strange)).status == 200


async def test_an_error_in_an_answer_goes_to_the_log_and_not_to_the_client(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(redis_url) as service:
        problems = collect(service.runtime.bus, Problem)

        def fail() -> None:
            raise ValueError("invalid value 'a secret'")

        monkeypatch.setattr(service, "get_processors", fail)
        answer = await asked(service.http_port, "/livez")
        monkeypatch.undo()
        assert answer.status == 500
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "secret" not in answer.text
        assert [problem.message for problem in problems] == [WORKER_ERRORS.HTTP_REQUEST_FAILED]
        assert problems[0].detail.startswith("/livez: ValueError: invalid value ")
        assert "secret" not in problems[0].detail
        assert (await asked(service.http_port, "/livez")).status == 200


async def test_without_a_port_there_is_none(redis_url: str) -> None:
    async with serving(redis_url, http_port=None) as service:
        assert service.http_port is None


async def test_a_port_that_was_chosen_and_is_taken_stops_the_start(redis_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        service = service_with(redis_url, Settings(http_port=port, log_level="ERROR"))
        with pytest.raises(ConfigurationError, match=rf":{port} is taken.*AUTH_WORKER_HTTP_PORT") as refusal:
            await service.start()
    assert f":{port} " in error_text(refusal.value)


async def test_an_address_that_is_not_ours_stops_the_start(redis_url: str) -> None:
    settings = Settings(http_host="192.0.2.1", http_token=TOKEN, http_port=0, log_level="ERROR")
    with pytest.raises(ConfigurationError, match=r"http_host.*192\.0\.2\.1.*AUTH_WORKER_HTTP_HOST"):
        await service_with(redis_url, settings).start()


def by_default(port: int) -> Settings:
    """Settings whose default port is ``port``."""
    settings = Settings(http_port=port, log_level="INFO")
    settings.model_fields_set.discard("http_port")
    return settings


async def test_workers_with_the_default_port_find_room_beside_each_other(redis_url: str) -> None:
    port = free_port()
    services = [service_with(redis_url, by_default(port)) for _ in range(3)]
    try:
        for service in services:
            await service.start()
        ports = [service.http_port for service in services]
        assert len(set(ports)) == 3
        assert all(number is not None and port <= number < port + 10 for number in ports)
        for number in ports:
            assert (await asked(number, "/readyz")).status == 200
    finally:
        for service in services:
            await service.stop(0)


async def test_if_every_port_is_taken_a_worker_goes_on_without_one_and_says_so_once(
    redis_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auth_worker.http.listening_socket.NEIGHBOURS", 1)
    caplog.set_level(logging.INFO)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = by_default(taken.getsockname()[1])
        async with service_with(redis_url, settings, logger=logging.getLogger("users")) as service:
            assert service.http_port is None
    told = [record for record in caplog.records if record.message == WORKER_ERRORS.HTTP_PORT_TAKEN]
    assert [record.levelname for record in told] == ["WARNING"]


async def test_the_open_port_is_logged_and_uvicorn_logs_nothing(
    redis_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("uvicorn", "uvicorn.error"):  # a server of another test may have configured them
        monkeypatch.setattr(logging.getLogger(name), "propagate", True)
        monkeypatch.setattr(logging.getLogger(name), "level", logging.NOTSET)
    settings = Settings(http_port=0)
    async with service_with(redis_url, settings, logger=logging.getLogger("users")) as service:
        assert service.http_port is not None
        await asked(service.http_port, "/livez")
        await asyncio.to_thread(raw, service.http_port, b"\x16\x03\x01 this is no HTTP\r\n\r\n")
        (told,) = [record for record in caplog.records if record.message == WORKER_MESSAGES.HTTP_PORT_OPEN]
        assert told.__dict__["port"] == service.http_port
        assert told.__dict__["url"] == f"http://127.0.0.1:{service.http_port}"
    assert not [record for record in caplog.records if record.name.startswith("uvicorn")]
    logging.getLogger("uvicorn.error").info("a server of the application's")
    assert "a server of the application's" in caplog.messages


async def test_open_connections_do_not_hold_up_the_stop(redis_url: str) -> None:
    service = service_with(redis_url, Settings(http_port=0, log_level="ERROR"))
    await service.start()
    assert service.http_port is not None
    idle = [socket.create_connection(("127.0.0.1", service.http_port)) for _ in range(5)]
    idle[0].sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
    idle[1].sendall(b"GET /livez HT")
    await asyncio.sleep(0.05)
    started = time.monotonic()
    await service.stop(0)
    assert time.monotonic() - started < 2
    for connection in idle:
        connection.close()
