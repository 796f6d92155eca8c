"""The service as a whole: the reference's API, its start and stop, and its health."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from typing import Any

import pytest
import structlog

from auth_worker import (
    WORKER_CONFIG,
    BrokerError,
    ConfigurationError,
    Job,
    Settings,
    WorkerService,
)
from auth_worker.engine.executors.worker_process import WorkerProcess
from auth_worker.errors import ShutdownError
from auth_worker.system.handled_signals import MOMENT_S
from support.process_consumers import describe
from support.processors import QUEUE, Harness, eventually

QUIET = Settings(http_port=None, log_level="ERROR")


async def nothing(job: Job) -> None:
    """A consumer."""


def service_at(url: str, **options: Any) -> WorkerService:
    options.setdefault("settings", QUIET)
    return WorkerService(url, **options)


async def test_health_and_metrics_have_the_shape_of_the_reference(harness: Harness) -> None:
    class Database:
        async def health_check(self) -> bool:
            return True

    service = service_at(harness.url, database_service=Database())
    service.register_processor(queue_name=QUEUE, processor=nothing)
    async with service:
        await harness.jobs.add("n", {})
        await harness.settled(1)
        health = (await service.get_health()).model_dump(by_alias=True)
        (metrics,) = [entry.model_dump(by_alias=True) for entry in service.get_metrics()]
    (processor,) = health["processors"]
    assert health["healthy"] is True
    assert health["database"] == {"healthy": True}
    assert {"healthy": True, "queueName": QUEUE, "isRunning": True, "isPaused": False}.items() <= processor.items()
    assert metrics["queueName"] == QUEUE
    assert set(metrics["metrics"]) >= {
        *("processed", "completed", "failed", "active", "averageProcessingTime", "successRate", "failureRate"),
    }
    assert metrics["metrics"]["completed"] == 1


async def test_a_sick_database_makes_the_service_unhealthy_and_does_not_hold_it_up(harness: Harness) -> None:
    class Database:
        async def ping(self) -> None:
            raise ConnectionError("password=hunter2")

    service = service_at(harness.url, database_service=Database())
    async with service:
        health = await service.get_health()
    assert not health.healthy
    assert health.database == {"healthy": False, "reason": "ConnectionError"}


async def test_init_services_runs_before_any_job_is_fetched(harness: Harness) -> None:
    order: list[str] = []

    async def init() -> None:
        order.append("init")

    async def consumer(job: Job) -> None:
        order.append("job")

    await harness.jobs.add("n", {})
    service = service_at(harness.url, init_services=init)
    service.register_processor(queue_name=QUEUE, processor=consumer)
    async with service:
        await harness.settled(1)
    assert order == ["init", "job"]


async def test_if_init_services_raises_the_start_fails_and_nothing_was_fetched(harness: Harness) -> None:
    async def init() -> None:
        raise RuntimeError("no templates")

    await harness.jobs.add("n", {})
    service = service_at(harness.url, init_services=init)
    service.register_processor(queue_name=QUEUE, processor=nothing)
    with pytest.raises(RuntimeError, match="no templates"):
        await service.start()
    assert (await harness.counts())["wait"] == 1
    assert await service.stop() is True


async def test_wrong_registrations_name_the_argument(harness: Harness) -> None:
    service = service_at(harness.url)
    service.register_processor(queue_name=QUEUE, processor=nothing)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"queue_name": QUEUE, "processor": nothing}, "queue_name .* already"),
        ({"queue_name": "a:b", "processor": nothing}, "queue_name"),
        ({"queue_name": "other", "processor": None}, "processor"),
        ({"queue_name": "other", "processor": nothing, "worker_config": {"concurency": 1}}, "concurrency"),
        ({"queue_name": "other", "processor": nothing, "worker_config": 5}, "worker_config"),
        ({"queue_name": "other", "processor": nothing, "dead_letter_queue_name": "x:y"}, "dead_letter"),
        ({"queue_name": "other", "processor": nothing, "execution": "moon"}, "execution"),
    ]
    for arguments, message in wrong:
        with pytest.raises(ConfigurationError, match=message):
            service.register_processor(**arguments)
    async with service:
        with pytest.raises(ConfigurationError, match="before the service starts"):
            service.register_processor(queue_name="late", processor=nothing)
        with pytest.raises(ConfigurationError, match="started once"):
            await service.start()
    with pytest.raises(ConfigurationError, match="database_service"):
        WorkerService(harness.url, database_service=object(), settings=QUIET)


async def test_the_decorator_registers_and_leaves_the_function_as_it_was(harness: Harness) -> None:
    service = service_at(harness.url)

    @service.processor(QUEUE, worker_config={"concurrency": 2})
    async def consumer(job: Job) -> str:
        return "done"

    (processor,) = service.get_processors()
    assert processor.queue_name == QUEUE
    assert processor.config.concurrency == 2
    assert processor.config.lock_duration == WORKER_CONFIG.lock_duration
    assert await consumer(None) == "done"  # type: ignore[arg-type]


async def test_pause_all_and_resume_all(harness: Harness) -> None:
    service = service_at(harness.url)
    service.register_processor(queue_name=QUEUE, processor=nothing)
    service.register_processor(queue_name="other", processor=nothing)
    async with service:
        await service.pause_all()
        assert all(processor.is_paused for processor in service.get_processors())
        await harness.jobs.add("n", {})
        assert (await harness.counts())["wait"] == 1
        await service.resume_all()
        await harness.settled(1)


async def test_a_service_without_redis_fails_to_start_in_time_and_says_where() -> None:
    service = service_at(
        "redis://127.0.0.1:1/0", settings=Settings(http_port=None, log_level="ERROR", startup_timeout=0.3)
    )
    with pytest.raises(BrokerError, match=r"redis://127\.0\.0\.1:1/0"):
        await service.start()


async def test_a_service_that_fails_to_start_ends_the_processes_that_it_began_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun: list[WorkerProcess] = []
    new = WorkerProcess.__init__

    def noted(process: WorkerProcess) -> None:
        begun.append(process)
        new(process)

    monkeypatch.setattr(WorkerProcess, "__init__", noted)
    settings = Settings(http_port=None, log_level="ERROR", startup_timeout=0.3)
    service = service_at("redis://127.0.0.1:1/0", settings=settings)
    service.register_processor(queue_name=QUEUE, processor=describe, execution="process")
    with pytest.raises(BrokerError):
        await service.start()
    assert begun
    await eventually(lambda: all(process.has_ended for process in begun), "their end")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_and_exits_clean(harness: Harness, number: signal.Signals) -> None:
    started = asyncio.Event()

    async def consumer(job: Job) -> str:
        started.set()
        await asyncio.sleep(0.1)
        return "done"

    service = service_at(harness.url)
    service.register_processor(queue_name=QUEUE, processor=consumer)
    running = asyncio.create_task(service.run())
    await harness.jobs.add("n", {})
    await started.wait()
    os.kill(os.getpid(), number)
    assert await asyncio.wait_for(running, 5) == 0
    assert (await harness.counts())["completed"] == 1


async def test_a_second_signal_hands_back_at_once(harness: Harness) -> None:
    started = asyncio.Event()

    async def consumer(job: Job) -> None:
        started.set()
        await asyncio.sleep(60)

    service = service_at(harness.url)
    service.register_processor(queue_name=QUEUE, processor=consumer)
    running = asyncio.create_task(service.run())
    await harness.jobs.add("n", {})
    await started.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    await eventually(lambda: str(service.state) == "stopping")
    await asyncio.sleep(MOMENT_S)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(running, 5) == 3
    assert (await harness.counts())["wait"] == 1


async def test_a_signal_while_starting_stops_at_once() -> None:
    service = service_at(
        "redis://127.0.0.1:1/0", settings=Settings(http_port=None, log_level="ERROR", startup_timeout=30)
    )
    running = asyncio.create_task(service.run())
    await eventually(lambda: str(service.state) == "starting")
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(running, 5) == 0


async def test_exit_codes_of_a_failed_start(harness: Harness) -> None:
    async def init() -> None:
        raise RuntimeError("no")

    quick = Settings(http_port=None, log_level="ERROR", startup_timeout=0.3)
    assert await service_at(harness.url, init_services=init, settings=QUIET).run() == 1
    assert await service_at("redis://127.0.0.1:1", settings=quick).run() == 4


async def test_job_lines_reach_the_users_logger_and_job_data_does_not(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    async def consumer(job: Job) -> None:
        raise ValueError("mail to secret@example.org failed, code=123456")

    caplog.set_level(logging.INFO, "users")
    service = service_at(harness.url, logger=logging.getLogger("users"))
    service.register_processor(queue_name=QUEUE, processor=consumer, worker_config={"attempts": 1})
    async with service:
        await harness.jobs.add("n", {"password": "hunter2"})
        await harness.settled(1)
        await eventually(lambda: any(record.message == "Job failed" for record in caplog.records))
    texts = " ".join(str(record.__dict__) for record in caplog.records)
    assert "Worker ready" in texts
    for secret in ("hunter2", "secret@", "123456"):
        assert secret not in texts


async def test_a_structlog_logger_is_used_as_it_is(harness: Harness) -> None:
    with structlog.testing.capture_logs() as lines:
        service = service_at(harness.url, logger=structlog.get_logger())
        service.register_processor(queue_name=QUEUE, processor=nothing)
        async with service:
            await harness.jobs.add("n", {})
            await harness.settled(1)
            await eventually(lambda: [line for line in lines if line["event"] == "Job completed"])
    (line,) = [line for line in lines if line["event"] == "Job completed"]
    assert line["queue"] == QUEUE
    assert line["outcome"] == "completed"


async def test_a_service_that_is_started_can_be_run_until_a_signal(harness: Harness) -> None:
    service = service_at(harness.url)
    service.register_processor(queue_name=QUEUE, processor=nothing)
    await service.start()
    running = asyncio.create_task(service.run())
    await harness.jobs.add("n", {})
    await harness.settled(1)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(running, 5) == 0


async def test_a_stop_while_starting_ends_the_start(harness: Harness) -> None:
    async def init() -> None:
        await asyncio.sleep(30)

    service = service_at(harness.url, init_services=init)
    starting = asyncio.create_task(service.start())
    await eventually(lambda: service.runtime.started)
    assert await asyncio.wait_for(service.stop(), 5) is True
    with pytest.raises(ShutdownError, match="stopped while it started"):
        await starting
