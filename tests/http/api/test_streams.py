"""A stream passes from the API's event loop to the client as it comes, and no faster than it is read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from support.admin_api import ADMIN, service_at
from support.event_streams import CHECKS, Streams, with_streams
from support.processors import Harness


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
async def test_streams(
    check: Callable[[Streams], None], harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auth_worker.http.api.app.application", with_streams(tmp_path))
    async with service_at(harness.url) as service:
        await asyncio.to_thread(check, Streams(service.http_port, tmp_path, ADMIN))


async def test_a_service_that_stops_ends_its_streams(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auth_worker.http.api.app.application", with_streams(tmp_path))
    async with service_at(harness.url) as service:
        streams = Streams(service.http_port, tmp_path, ADMIN)
        with streams.open("/api/v1/operations"):
            pass  # the API is open now
        opened = streams.open("/api/v1/test/events")
        await asyncio.to_thread(opened.__enter__)
        async with asyncio.timeout(10):
            await service.stop(0)
        assert (tmp_path / "ended").exists()
        opened.__exit__(None, None, None)
