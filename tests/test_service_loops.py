"""What was started in one event loop is used in that one alone, and says so."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from auth_worker import Job, QueueProcessorService, Settings, WorkerService
from auth_worker.errors import ConfigurationError
from support.operators import operations_on

SETTINGS = Settings(http_port=None)


async def do_nothing(job: Job) -> None:
    """Succeed."""


def a_service(redis_url: str) -> WorkerService:
    service = WorkerService(redis_url, settings=SETTINGS)
    service.register_processor(queue_name="work", processor=do_nothing)
    return service


@pytest.mark.parametrize(
    "ask", [WorkerService.stop, WorkerService.pause_all, WorkerService.resume_all, WorkerService.run]
)
async def test_a_service_refuses_another_loop(
    ask: Callable[[WorkerService], Coroutine[Any, Any, Any]], redis_url: str
) -> None:
    async with a_service(redis_url) as service:
        with pytest.raises(ConfigurationError, match=r"the .* was started in another event loop"):
            await asyncio.to_thread(asyncio.run, ask(service))
        assert (await service.get_health()).healthy


@pytest.mark.parametrize(
    "ask", [QueueProcessorService.close, QueueProcessorService.pause, QueueProcessorService.resume]
)
async def test_a_processor_refuses_another_loop(
    ask: Callable[[QueueProcessorService], Coroutine[Any, Any, Any]], redis_url: str
) -> None:
    processor = QueueProcessorService(
        queue_name="work", processor=do_nothing, connection=redis_url, settings=SETTINGS
    )
    await processor.initialize()
    with pytest.raises(ConfigurationError, match="the processor of work was started in another event loop"):
        await asyncio.to_thread(asyncio.run, ask(processor))
    assert processor.is_running
    assert await processor.close()


def test_a_service_whose_loop_is_closed_cannot_be_stopped(redis_url: str) -> None:
    service = a_service(redis_url)
    with asyncio.Runner() as runner:
        runner.run(service.start())
        running = service.runtime.watch_loop
        outcome: list[BaseException] = []

        def stop_elsewhere() -> None:
            loop = runner.get_loop()
            is_closed, loop.is_closed = loop.is_closed, lambda: True  # type: ignore[method-assign]
            try:
                asyncio.run(service.stop())
            except ConfigurationError as error:
                outcome.append(error)
            finally:
                loop.is_closed = is_closed  # type: ignore[method-assign]

        thread = threading.Thread(target=stop_elsewhere)
        thread.start()
        thread.join(10)
        assert "start, use and stop it within one asyncio.run" in str(outcome[0])
        assert running.is_running
        assert runner.run(service.stop())


async def test_a_connection_refuses_another_loop(redis_url: str) -> None:
    async with operations_on(redis_url) as operations:
        with pytest.raises(ConfigurationError, match="this connection to Redis was started in another event loop"):
            await asyncio.to_thread(asyncio.run, operations.queues.workers("work"))


def test_operations_serve_one_loop_after_another(redis_url: str) -> None:
    operations = operations_on(redis_url)

    async def ask() -> object:
        async with operations:
            return await operations.queues.workers("work")

    assert asyncio.run(ask()) == asyncio.run(ask())
