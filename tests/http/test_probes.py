"""Invariant 11: probes_tell_the_truth. A real service, a real server, real sockets."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import cast

import pytest

from auth_worker import Job, Settings, WorkerService
from auth_worker.brokers.redis.connections import Connections
from support.http_requests import Answer, ask, asked, scraped, value
from support.processors import QUEUE, Harness, eventually
from support.running_service import nothing, serving
from support.servers import Server

PROBES = ("/livez", "/readyz", "/startupz")


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A server that the test may kill, freeze and fill."""
    with Server() as server:
        yield server


async def probed(service: WorkerService) -> dict[str, int]:
    """The status of each probe."""
    return {path: (await asked(service.http_port, path)).status for path in PROBES}


async def turns(service: WorkerService, path: str, status: int, within: float = 15.0) -> Answer:
    """Wait until ``path`` answers ``status``."""

    async def answered() -> Answer | None:
        answer = await asked(service.http_port, path)
        return answer if answer.status == status else None

    answer = await eventually(answered, f"{path} {status}", within)
    assert isinstance(answer, Answer)
    return answer


async def test_probes_tell_the_truth_of_a_service_that_works(harness: Harness) -> None:
    async with serving(harness.url) as service:
        assert await probed(service) == dict.fromkeys(PROBES, 200)
        health = await asked(service.http_port, "/health")
        assert health.status == 200
        assert health.json["healthy"] is True
        assert health.json["processors"][0]["queueName"] == QUEUE


async def test_probes_tell_the_truth_of_a_stuck_loop(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auth_worker.http.probes.LOOP_LIMIT_S", 0.6)
    monkeypatch.setattr("auth_worker.http.app.BLOCKED_S", 0.3)
    monkeypatch.setattr("auth_worker.process.lag.LAG_TICK", 0.05)

    blocking = threading.Event()

    async def consumer(job: Job) -> None:
        blocking.set()
        time.sleep(2.0)  # noqa: ASYNC251 - this is what must not silence the probes

    async with serving(harness.url, consumer) as service:
        port = service.http_port
        assert port is not None

        def watch() -> dict[str, Answer]:
            assert blocking.wait(10)
            early = ask(port, "/livez")
            until = time.monotonic() + 1.5
            while ask(port, "/livez").status == 200 and time.monotonic() < until:
                time.sleep(0.02)
            return {"early": early, **{path: ask(port, path) for path in (*PROBES, "/health", "/metrics")}}

        watching = asyncio.create_task(asyncio.to_thread(watch))
        await harness.jobs.add("n", {})
        seen = await watching
        assert seen["early"].status == 200, "a short block is no reason for a restart"
        assert seen["/livez"].status == 503
        assert "has been blocked for" in seen["/livez"].reasons
        assert seen["/health"].status == 503
        assert "has been blocked for" in seen["/health"].reasons
        assert seen["/health"].json["processors"][0]["metrics"]["active"] == 1
        assert seen["/metrics"].status == 200
        await turns(service, "/livez", 200)
        await harness.settled(1)


async def test_probes_tell_the_truth_of_a_queue_that_nobody_looks_at(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auth_worker.brokers.redis.doorbell.BLOCK_S", 0.1)
    monkeypatch.setattr("auth_worker.http.probes.FETCH_LIMIT_S", 1.0)
    async with serving(harness.url) as service:
        for _ in range(15):
            assert (await asked(service.http_port, "/livez")).status == 200
            await asyncio.sleep(0.1)
        connections = cast(Connections, service.get_processors()[0].connections)
        await connections.doorbell.stop()  # as a bug of ours would
        answer = await turns(service, "/livez", 503, within=5)
        assert f"{QUEUE}: it has not looked for jobs" in answer.reasons


async def test_a_long_job_in_every_slot_is_live(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auth_worker.brokers.redis.doorbell.BLOCK_S", 0.1)
    monkeypatch.setattr("auth_worker.http.probes.FETCH_LIMIT_S", 0.5)
    go_on = asyncio.Event()

    async def consumer(job: Job) -> None:
        await go_on.wait()

    async with serving(harness.url, consumer) as service:
        await harness.jobs.add_bulk([{"name": "n", "data": {}}] * 4)
        await eventually(lambda: service.get_processors()[0].active == 4)
        await asyncio.sleep(0.8)
        assert await probed(service) == dict.fromkeys(PROBES, 200)
        go_on.set()
        await harness.settled(4)
        assert (await asked(service.http_port, "/livez")).status == 200


async def test_probes_tell_the_truth_of_a_dead_broker(own_server: Server) -> None:
    async with serving(own_server.url) as service:
        assert value(await scraped(service.http_port), "auth_worker_broker_up") == 1
        own_server.kill()
        answer = await turns(service, "/readyz", 503)
        assert "no connection to Redis" in answer.reasons
        assert (await asked(service.http_port, "/livez")).status == 200, "a restart would not bring Redis back"
        health = await asked(service.http_port, "/health")
        assert health.status == 503
        assert "no connection to Redis" in health.reasons
        samples = await scraped(service.http_port)
        assert value(samples, "auth_worker_broker_up") == 0
        await eventually(lambda: _no_counts(service), "old counts, which would lie, are gone")
        own_server.start()
        await turns(service, "/readyz", 200)


async def _no_counts(service: WorkerService) -> bool:
    return not [name for name, _ in await scraped(service.http_port) if name == "auth_worker_queue_jobs"]


async def test_probes_tell_the_truth_of_a_frozen_broker_and_do_not_hang_with_it(own_server: Server) -> None:
    async with serving(own_server.url) as service:
        own_server.pause()
        try:
            slowest = 0.0
            deadline = time.monotonic() + 12
            while True:
                started = time.monotonic()
                answers = {path: await asked(service.http_port, path) for path in ("/livez", "/readyz")}
                slowest = max(slowest, time.monotonic() - started)
                assert answers["/livez"].status == 200
                if answers["/readyz"].status == 503:
                    break
                assert time.monotonic() < deadline
                await asyncio.sleep(0.2)
            assert slowest < 2.0
            assert "Redis" in answers["/readyz"].reasons
        finally:
            own_server.resume()
        await turns(service, "/readyz", 200)


async def test_probes_tell_the_truth_of_a_full_broker(own_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auth_worker.observability.health.MEMORY_S", 1.5)
    async with serving(own_server.url) as service:
        own_server.ask("CONFIG SET maxmemory 1")
        answer = await turns(service, "/readyz", 503)
        assert "OOM" in answer.reasons
        assert (await asked(service.http_port, "/livez")).status == 200
        own_server.ask("CONFIG SET maxmemory 0")
        await turns(service, "/readyz", 200)


async def test_probes_tell_the_truth_of_a_shutdown_and_the_port_closes_last(harness: Harness) -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    async def consumer(job: Job) -> None:
        started.set()
        await go_on.wait()

    async with serving(harness.url, consumer) as service:
        await harness.jobs.add("n", {})
        await started.wait()
        stopping = asyncio.create_task(service.stop(10))
        answer = await turns(service, "/readyz", 503)
        assert "the service is stopping" in answer.reasons
        assert await probed(service) == {"/livez": 200, "/readyz": 503, "/startupz": 200}
        assert value(await scraped(service.http_port), "auth_worker_jobs_active", queue=QUEUE) == 1
        go_on.set()
        assert await stopping is True
        with pytest.raises(OSError, match="refused"):
            await asked(service.http_port, "/livez")


async def test_probes_tell_the_truth_of_a_slow_start(own_server: Server) -> None:
    own_server.stop()
    initialised = asyncio.Event()

    async def init() -> None:
        await initialised.wait()

    settings = Settings(http_port=0, log_level="ERROR", startup_timeout=30)
    service = WorkerService(own_server.url, settings=settings, init_services=init)
    service.register_processor(queue_name=QUEUE, processor=nothing)
    starting = asyncio.create_task(service.start())
    try:
        await eventually(lambda: service.http_port)
        answer = await asked(service.http_port, "/startupz")
        assert answer.status == 503
        assert "the service is starting" in answer.reasons
        assert "Redis" in answer.reasons
        assert await probed(service) == {"/livez": 200, "/readyz": 503, "/startupz": 503}
        own_server.start()
        await eventually(lambda: service.runtime.started)
        assert await probed(service) == {"/livez": 200, "/readyz": 503, "/startupz": 503}, "init_services runs"
        initialised.set()
        await starting
        assert await probed(service) == dict.fromkeys(PROBES, 200)
    finally:
        starting.cancel()
        await service.stop(0)


async def test_a_service_that_does_not_start_closes_its_port() -> None:
    settings = Settings(http_port=0, log_level="ERROR", startup_timeout=0.3)
    service = WorkerService("redis://127.0.0.1:1/0", settings=settings)
    assert await service.run() == 4
    with pytest.raises(OSError, match="refused"):
        await asked(service.http_port, "/livez")


async def test_a_slow_database_shows_in_the_health_and_holds_up_no_probe(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auth_worker.databases.CHECK_TIMEOUT_S", 0.5)
    checks = 0

    class Database:
        async def health_check(self) -> bool:
            nonlocal checks
            checks += 1
            await asyncio.sleep(60)
            return True

    async with serving(harness.url, database_service=Database()) as service:
        started = time.monotonic()
        asking = [asyncio.create_task(asked(service.http_port, "/health")) for _ in range(3)]
        assert await probed(service) == dict.fromkeys(PROBES, 200)
        assert time.monotonic() - started < 0.5
        for answer in await asyncio.gather(*asking):
            assert answer.status == 503
            assert answer.json["database"] == {"healthy": False, "reason": "no answer within 0.5 s"}
            assert answer.json["reasons"] == ["database: no answer within 0.5 s"]
        assert checks == 1, "who asks at the same time shares one check"
