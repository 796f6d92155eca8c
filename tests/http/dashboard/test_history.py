"""The page of metrics and the line of the last hour; who writes them down."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from auth_worker.admin.operations import Operations
from auth_worker.brokers.opening import operator_broker
from auth_worker.errors import BrokerUnavailableError
from auth_worker.http import server
from auth_worker.http.dashboard import recorder
from auth_worker.http.dashboard.charts import Caption, Line, Mark, bars, lines, stacked
from auth_worker.http.dashboard.recorder import Recorder
from support.admin_api import ADMIN, add, dead, service_at
from support.dashboard_visitor import Visitor
from support.http_requests import Api
from support.operators import operations_on
from support.processors import QUEUE, Harness, eventually


@asynccontextmanager
async def recorder_at(harness: Harness) -> AsyncIterator[Recorder]:
    """A recorder, disconnected afterwards."""

    async def open_operations() -> Operations:
        return Operations(operator_broker(harness.url, "bull"))

    one = Recorder(open_operations, uuid.uuid4().hex)
    yield one
    await one.stop()


async def test_the_page_has_a_chart_and_a_value_for_what_was_recorded(
    reader: Visitor, harness: Harness, api: Api
) -> None:
    empty = await reader.get("history")
    assert "Nothing is recorded in the last hour." in empty.text
    await dead(api, 2)
    await add(api)
    async with recorder_at(harness) as own:
        assert await own.attempt()
    for query in ({}, {"queue": QUEUE}, {"span": "day", "queue": QUEUE}, {"span": "week"}):
        page = await reader.get("history", **query)
        assert page.text.count('class="chart"') == 4, query
        assert "in the last " in page.text
        assert page.text.count('<th scope="row">') == 1
        assert "2 failed" in page.text
    assert (await reader.get("history", span="year")).status == 422
    assert (await reader.get("history", queue="nobody")).status == 404
    overview = await reader.get()
    assert f"history?queue={QUEUE}" in overview.links


async def test_one_recorder_of_several_writes_and_the_others_hold_no_connection(harness: Harness) -> None:
    await harness.jobs.add("waits", {})
    async with recorder_at(harness) as one, recorder_at(harness) as other:
        assert await one.attempt()
        assert not await other.attempt()
        names = [each["name"] for each in await harness.redis.client_list()]
        assert names.count("auth-worker:operations") == 1
        assert await one.attempt(), "it stays the one"
        await one.stop()
        assert await other.attempt(), "whoever stops lets another go on at once"
    assert await harness.redis.exists(f"bull:{QUEUE}:auth-worker-history:week")


async def test_it_records_again_after_a_minute_without_the_broker(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "MINUTE_S", 0.05)
    await harness.jobs.add("waits", {})
    asked = 0

    async def open_operations() -> Operations:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise BrokerUnavailableError("it is away")
        return Operations(operator_broker(harness.url, "bull"))

    task = asyncio.create_task(Recorder(open_operations, uuid.uuid4().hex).run())

    async def recorded() -> bool:
        return bool(await harness.redis.exists(f"bull:{QUEUE}:auth-worker-history:hour"))

    await eventually(recorded, "a minute is recorded")
    assert asked == 3
    task.cancel()
    await asyncio.wait({task})


async def test_a_service_with_a_dashboard_records_by_itself(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "FIRST_DUTY_S", 0)
    monkeypatch.setattr(recorder, "MINUTE_S", 0.05)
    async with service_at(harness.url) as service:
        await add(Api(service.http_port, ADMIN), "held")

        async def is_recorded() -> bool:
            return bool(await harness.redis.exists(f"bull:{QUEUE}:auth-worker-history:hour"))

        await eventually(is_recorded, "the service records")
        await service.stop(0)


async def test_a_service_marks_its_version_and_the_page_shows_since_when_it_runs(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "FIRST_DUTY_S", 0)
    await harness.jobs.add("waits", {})
    async with recorder_at(harness) as own:
        assert await own.attempt()
    for version in ("v1 <b>", "v1 <b>", "v2"):
        async with (
            service_at(harness.url, app_version=version) as service,
            operations_on(harness.url) as operations,
        ):
            visitor = Visitor(service.http_port)
            await visitor.log_in(ADMIN)

            async def is_marked(operations: Operations = operations, version: str = version) -> bool:
                return version in [mark.version for mark in await operations.history.versions()]

            await eventually(is_marked, f"{version} is marked")
            page = (await visitor.get("history")).text
    assert page.count('<g class="mark">') == 2 * 4
    assert "v1 &lt;b&gt; started <time" in page
    assert "v2 started <time" in page


def captions(*texts: str) -> list[Caption]:
    """Captions of a chart, each a minute after the one before it."""
    return [Caption(60_000 * place, text) for place, text in enumerate(texts)]


def test_charts_are_drawn_to_scale_and_escape_what_they_say() -> None:
    drawn = bars([0, 1, 100], "<b>", "minutes")
    assert drawn.count("<rect") == 2
    assert 'height="20"' in drawn
    assert "&lt;b&gt;" in drawn
    parted = bars([0, 5], "label", "minutes", [0, 5])
    assert parted.count('height="10"') == 2
    assert parted.count('class="failed"') == 1
    columns = stacked([10, 0], [10, 0], captions("<i>", "x"), "label")
    assert columns.count('class="done"') == columns.count('class="failed"') == 1
    assert 'height="60"' in columns
    assert "&lt;i&gt;" in columns
    assert '<title data-at="1970-01-01T00:01:00Z">1970-01-01 00:01 UTC: x</title>' in columns
    marked = stacked([1], [0], captions("x"), "label", [Mark(0.5, Caption(0, "<v1>"))])
    assert '1970-01-01 00:00 UTC: &lt;v1&gt;</title><path d="M300.0 0L300.0 120"/>' in marked
    path = lines([Line("p50", [1, None, 2, 4])], captions(*"abcd"), "label")
    assert path.count("M") == 2
    assert path.count("L") == 3
    assert 'd=""' in lines([Line("p50", [None])], captions("a"), "label")


def test_the_axes_of_charts_name_what_their_lines_are() -> None:
    columns = stacked([1000], [0], captions("x"), "label")
    assert texts(columns) == ["1,000", "500"]
    line = [Line("p99", [20, 3_600_000])]
    assert texts(lines(line, captions("a", "b"), "label")) == ["1 h", "30 min"]
    assert texts(lines(line, captions("a", "b"), "label", is_log=True)) == ["10 ms", "1 s", "1 min", "1 h"]
    assert texts(lines([Line("p99", [0, None])], captions("a", "b"), "label", is_log=True)) == []


def texts(drawn: str) -> list[str]:
    """The texts on the axis of a chart."""
    return re.findall(r"<text [^>]*>([^<]*)</text>", drawn)
