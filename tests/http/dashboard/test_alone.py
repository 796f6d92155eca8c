"""The dashboard at a port of its own, without a service."""

from __future__ import annotations

import http.client
from collections.abc import AsyncGenerator

import pytest

from auth_worker.errors import BrokerUnavailableError
from support.admin_api import ADMIN
from support.dashboard_visitor import Visitor
from support.log_capture import lines_of
from support.lone_dashboards import LoneDashboard
from support.processors import QUEUE, Harness


async def test_on_its_own_it_logs_in_one_line_what_breaks_off_a_response(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def break_off(pages: object) -> AsyncGenerator[str]:
        yield "{}\n"
        raise BrokerUnavailableError("it went away")

    monkeypatch.setattr("auth_worker.http.dashboard.export._rows", break_off)
    await harness.jobs.add("waiting")
    async with (place := LoneDashboard(harness)) as port:
        visitor = Visitor(port)
        await visitor.log_in(ADMIN)
        with pytest.raises(http.client.IncompleteRead):
            await visitor.get("export", queue=QUEUE, state="wait")
    (line,) = lines_of(place.stream, place.log)
    assert line["event"] == "A request to the HTTP port failed"
    assert line["error"] == "/export: BrokerUnavailableError: it went away"
    assert [record for record in caplog.records if record.name == "uvicorn.error"] == []
