"""A service that starts while its broker cannot be reached: it says so soon, and a stop meanwhile is no error."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from auth_worker import JobQueue, Settings, WorkerService
from auth_worker.brokers.redis.wire.address import Address
from auth_worker.brokers.redis.wire.link import Link
from auth_worker.core.redaction import redact
from auth_worker.errors import BrokerUnavailableError, ConfigurationError, ShutdownError
from auth_worker.flow import FlowProducer
from auth_worker.process import startup
from support.processors import eventually
from support.servers import Server, free_port

PASSWORD = "hunter2-canary"
WAITING = "Broker not reachable yet, still trying"
STOPPED = "Worker service stopped before it was ready"
LINES = logging.getLogger("lines of this test")


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, LINES.name)
    return caplog


def service_without_redis(port: int, timeout: float = 30, **arguments: Any) -> WorkerService:
    settings = Settings(http_port=None, startup_timeout=timeout)
    return WorkerService(f"redis://ann:{PASSWORD}@127.0.0.1:{port}", logger=LINES, settings=settings, **arguments)


def said(lines: pytest.LogCaptureFixture) -> str:
    """Return every line with its fields."""
    return "\n".join(f"{record.getMessage()} {record.__dict__}" for record in lines.records)


def problems(lines: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in lines.records if record.levelno >= logging.ERROR]


async def test_the_first_line_names_the_broker_and_why_it_is_that_one(
    lines: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTH_WORKER_REDIS_URL", f"redis://ann:{PASSWORD}@127.0.0.1:1/3")
    settings = Settings(http_port=None, startup_timeout=0.1)
    for service in (service_without_redis(1, 0.1), WorkerService(logger=LINES, settings=settings)):
        with pytest.raises(BrokerUnavailableError):
            await service.start()
    starts = [vars(record) for record in lines.records if "service starting" in record.getMessage()]
    assert [start["broker"] for start in starts] == [
        "redis://127.0.0.1:1/0, as the program says",
        "redis://127.0.0.1:1/3, as redis_url says",
    ]
    assert PASSWORD not in said(lines)
    monkeypatch.delenv("AUTH_WORKER_REDIS_URL")
    async with WorkerService(logger=LINES, settings=Settings(http_port=None, state_dir=tmp_path / "state")):
        (warning,) = [vars(record) for record in lines.records if "embedded" in record.getMessage()]
    assert warning["levelno"] == logging.WARNING
    assert "AUTH_WORKER_REDIS_URL" in warning["remedy"]
    assert f"embedded in {tmp_path / 'state'}, as redis_url is not set" in said(lines)


@pytest.mark.parametrize("make", [WorkerService, partial(JobQueue, "q"), FlowProducer])
def test_the_embedded_broker_can_be_forbidden(make: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_WORKER_EMBEDDED", "false")
    monkeypatch.delenv("AUTH_WORKER_REDIS_URL", raising=False)
    with pytest.raises(ConfigurationError, match=r"redis_url \(AUTH_WORKER_REDIS_URL\) is not set"):
        make()


async def test_it_says_within_a_second_where_and_why_it_waits_and_for_how_long(
    lines: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(startup, "REPORT_INTERVAL_S", 0.3)
    port = free_port()
    running = asyncio.create_task(service_without_redis(port).run())
    await eventually(lambda: len([1 for record in lines.records if record.getMessage() == WAITING]) >= 2, within=3)
    for part in (f"127.0.0.1:{port}", "Connection refused", "AUTH_WORKER_REDIS_URL", "30"):
        assert part in said(lines)
    assert PASSWORD not in said(lines)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(running, 10) == 0


async def test_a_start_that_is_quick_says_nothing_of_waiting(
    redis_url: str, lines: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(startup, "FIRST_REPORT_S", 0)
    async with WorkerService(redis_url, logger=LINES, settings=Settings(http_port=None)):
        await asyncio.sleep(0.05)
        before = said(lines).count(WAITING)
        await asyncio.sleep(0.05)
        assert said(lines).count(WAITING) == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_meanwhile_is_a_clean_stop(lines: pytest.LogCaptureFixture, number: signal.Signals) -> None:
    port = free_port()
    service = service_without_redis(port)
    running = asyncio.create_task(service.run())
    await eventually(lambda: str(service.state) == "starting" and bool(service.runtime.links))
    await asyncio.sleep(0.1)
    os.kill(os.getpid(), number)
    assert await asyncio.wait_for(running, 10) == 0
    assert not problems(lines)
    assert STOPPED in said(lines)
    assert f"waited for redis://127.0.0.1:{port}/0" in said(lines)
    assert "Traceback" not in said(lines)
    assert PASSWORD not in said(lines)


async def test_a_start_cut_short_by_the_application_is_no_error(lines: pytest.LogCaptureFixture) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await service_without_redis(free_port()).start()
    assert not problems(lines)
    assert STOPPED in said(lines)


async def test_a_stop_meanwhile_is_no_error(lines: pytest.LogCaptureFixture) -> None:
    service = service_without_redis(free_port())
    starting = asyncio.create_task(service.start())
    await eventually(lambda: str(service.state) == "starting")
    await service.stop()
    with pytest.raises(ShutdownError):
        await starting
    assert not problems(lines)


async def stop_while_initializing(redis_url: str, on_cancel: Callable[[], None]) -> WorkerService:
    """End a service by a signal while it initializes; ``on_cancel`` is what that does when it is cancelled."""
    begun = asyncio.Event()

    async def init() -> None:
        begun.set()
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            on_cancel()

    service = WorkerService(redis_url, logger=LINES, settings=Settings(http_port=None), init_services=init)
    running = asyncio.create_task(service.run())
    await begun.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(running, 10) == 0
    return service


async def test_a_signal_while_services_are_initialized_is_a_clean_stop(
    redis_url: str, lines: pytest.LogCaptureFixture
) -> None:
    def raise_another() -> None:
        raise RuntimeError("interrupted") from None

    await stop_while_initializing(redis_url, raise_another)
    assert not problems(lines)


async def test_a_signal_that_initialization_ignores_stops_the_service_once_it_is_up(
    redis_url: str, lines: pytest.LogCaptureFixture
) -> None:
    service = await stop_while_initializing(redis_url, lambda: None)
    assert str(service.state) == "stopped"


async def test_an_error_without_a_text_is_shown_by_its_name(
    redis_url: str, lines: pytest.LogCaptureFixture
) -> None:
    async def init() -> None:
        raise TimeoutError

    service = WorkerService(redis_url, logger=LINES, settings=Settings(http_port=None), init_services=init)
    assert await service.run() == 1
    assert "TimeoutError" in said(lines)


async def test_giving_up_names_host_and_port(lines: pytest.LogCaptureFixture) -> None:
    port = free_port()
    service = service_without_redis(port, timeout=0.3)
    assert await service.run() == 4
    assert f"cannot connect to redis://127.0.0.1:{port}/0 within 0.3 s" in said(lines)
    assert f"127.0.0.1:{port}: Connection refused" in said(lines)
    assert "***" not in said(lines)


async def test_a_first_connection_that_is_cancelled_leaves_nothing_running() -> None:
    before = asyncio.all_tasks()
    url = f"redis://127.0.0.1:{free_port()}"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await Link(Address.of(url), name="cancelled").start(30)
    queue = JobQueue("orders", url)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await queue.add("order", {})
    await queue.close()
    assert {task for task in asyncio.all_tasks() - before if "link" in task.get_name()} == set()


@pytest.mark.parametrize(
    "address",
    [
        {"host": "::1", "port": 6379},
        "redis://127.0.0.1:6379",
        "redis+sentinel://[::1]:26379,sentinel.test:26379/primary",
        "redis+cluster://10.0.0.7:7000,10.0.0.8:7001",
    ],
)
def test_an_address_is_shown_whole_where_secrets_are_masked(address: Any) -> None:
    assert redact(str(Address.of(address))) == str(Address.of(address))


@pytest.mark.parametrize(
    "text",
    [
        "[Errno 111] Connect call failed ('127.0.0.1', 6379)",
        "[Errno 111] Connect call failed ('::1', 26379, 0, 0)",
        'connection to server at "127.0.0.1", port 5432 failed: Connection refused',
        "127.0.0.1:6379: Connection refused",
        "[::1]:6379: Connection refused",
        "Error connecting to mail.test on port 2525",
    ],
)
def test_the_port_in_an_error_is_shown(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    "text",
    ["('code', 123456)", "your one-time code: 123456", "passport 123456", "port 12345678"],
)
def test_a_number_that_is_no_port_is_masked_as_before(text: str) -> None:
    assert "***" in redact(text)


async def test_an_ipv6_address_that_refuses_is_named(server: Server) -> None:
    port = free_port()
    with pytest.raises(BrokerUnavailableError, match=rf"redis://\[::1\]:{port}/0 .*\[::1\]:{port}: "):
        await Link(Address("::1", port), name="test").start(0.2)
