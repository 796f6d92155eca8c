"""A service whose HTTP packages are not installed."""

from __future__ import annotations

import sys

import pytest
import structlog

from auth_worker import Settings, WorkerService
from auth_worker.errors import MissingExtraError
from auth_worker.messages import WORKER_ERRORS


@pytest.fixture(autouse=True)
def _nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "auth_worker.http.server", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)


async def test_it_works_without_the_default_port_and_says_so(redis_url: str) -> None:
    with structlog.testing.capture_logs() as lines:
        async with WorkerService(redis_url, logger=structlog.get_logger()) as service:
            assert service.http_port is None
    (said,) = [line for line in lines if line["event"] == WORKER_ERRORS.HTTP_EXTRA_MISSING]
    assert (said["missing"], said["remedy"]) == ("uvicorn", 'pip install "auth-worker[http]"')


async def test_a_port_that_is_asked_for_is_refused_at_start(redis_url: str) -> None:
    service = WorkerService(redis_url, settings=Settings(http_port=0, log_level="ERROR"))
    with pytest.raises(MissingExtraError, match=r"auth-worker\[http\]"):
        await service.start()
