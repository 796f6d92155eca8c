"""The pytest plugin: fixtures for tests of jobs. It imports nothing of the package until a test asks for one."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from auth_worker.queue import JobQueue
    from auth_worker.testing.memory_broker import MemoryBroker
    from auth_worker.testing.real_broker import RealBroker, RunningWorker


@pytest.fixture
def jobs() -> Iterator[MemoryBroker]:
    """A ``MemoryBroker`` that holds all jobs of the test."""
    from auth_worker.testing.memory_broker import MemoryBroker

    with MemoryBroker() as broker:
        yield broker


@pytest.fixture(scope="session")
def auth_worker_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the Redis for ``queue`` and ``worker``: an embedded server of this session.

    Override the fixture to use another server; tests touch only keys of their own prefix.
    """
    from auth_worker.brokers.embedded.broker import EmbeddedBroker

    with EmbeddedBroker(tmp_path_factory.mktemp("auth-worker")) as broker:
        yield broker.url


@pytest.fixture
def real_broker(auth_worker_url: str) -> Iterator[RealBroker]:
    """A ``RealBroker`` for all jobs of the test, on ``auth_worker_url``."""
    from auth_worker.testing.real_broker import RealBroker

    with RealBroker(auth_worker_url, f"test-{uuid.uuid4().hex}") as broker:
        yield broker


@pytest.fixture
def queue(real_broker: RealBroker) -> Callable[[str], JobQueue]:
    """A function that returns a ``JobQueue`` on the real broker: ``queue("mailQueue")``."""
    return real_broker.queue


@pytest.fixture
def worker(real_broker: RealBroker) -> Callable[..., RunningWorker]:
    """A function that returns a worker on the real broker, which runs for an ``async with`` or ``with`` block."""
    return real_broker.worker
