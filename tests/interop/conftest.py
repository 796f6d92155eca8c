"""Node BullMQ, our worker and the official Python producer, all on the shared server."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from auth_worker import Job, QueueProcessorService
from auth_worker.config import Settings
from interop.node_side import NODE_MODULES, NodeProcess, NodeSide
from support.needed import skip_or_fail
from support.servers import Server

Consumer = Callable[[Job], Any]
StartWorker = Callable[..., Awaitable[QueueProcessorService]]


@pytest.fixture(scope="session")
def node_process(server: Server) -> Iterator[NodeProcess]:
    """The one Node process of the run. Without Node or its packages the tests are skipped, in CI they fail."""
    if shutil.which("node") is None or not NODE_MODULES.is_dir():
        skip_or_fail("the interop tests need Node and its packages", "install Node, and run `make interop`")
    process = NodeProcess("127.0.0.1", server.port)
    yield process
    process.stop()


@pytest.fixture
async def node(node_process: NodeProcess, redis_url: str) -> AsyncIterator[NodeSide]:
    """Node BullMQ on the emptied server; what a test starts in it is closed with the test."""
    side = NodeSide(node_process)
    yield side
    await side.call("reset")


@pytest.fixture
def queue() -> str:
    """A queue name no other test uses."""
    return f"queue-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def settings() -> Settings:
    """A worker's settings, with a name that shows in ``processedBy``."""
    return Settings(http_port=None, name="pod-7", shutdown_timeout=2)


@pytest.fixture
async def start_worker(redis_url: str, settings: Settings) -> AsyncIterator[StartWorker]:
    """Start our worker on a queue: ``await start_worker(queue, consumer, dead_letters=None, **worker_config)``."""
    started: list[QueueProcessorService] = []

    async def start(
        queue_name: str, consumer: Consumer, *, dead_letters: str | None = None, **config: Any
    ) -> QueueProcessorService:
        worker = QueueProcessorService(
            queue_name=queue_name,
            processor=consumer,
            connection=redis_url,
            worker_config={"concurrency": 1, **config},
            dead_letter_queue_name=dead_letters,
            settings=settings,
        )
        await worker.initialize()
        started.append(worker)
        return worker

    yield start
    for worker in started:
        await worker.close(0)
