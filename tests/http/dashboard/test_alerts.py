"""The page of alerts, the routes of the API, and the service that evaluates the rules by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from auth_worker import Settings, WorkerService
from auth_worker.admin.alert_targets import targets_of
from auth_worker.admin.operations import Operations
from auth_worker.brokers.opening import operator_broker
from auth_worker.dashboard import dashboard
from auth_worker.errors import BrokerUnavailableError
from auth_worker.events import Problem
from auth_worker.http import server
from auth_worker.http.dashboard import alert_watch
from auth_worker.http.dashboard.alert_watch import AlertWatch
from auth_worker.messages import WORKER_ERRORS
from support.admin_api import ADMIN, READER, service_at
from support.asgi_server import serving
from support.dashboard_visitor import Visitor
from support.http_requests import Api
from support.operators import operations_on
from support.processors import Harness, collect, eventually
from support.webhooks import Receiver, receiving

FORSAKEN = "forsaken"
"""A queue without a worker."""


@pytest.fixture
def hook() -> Iterator[Receiver]:
    """A webhook that takes everything."""
    with receiving(Receiver()) as receiver:
        yield receiver


@pytest.fixture
async def service(harness: Harness, hook: Receiver) -> AsyncIterator[WorkerService]:
    """A service with a rule, which notifies the webhook."""
    async with service_at(harness.url, alerts={"no_worker": 0, "webhook_url": hook.url}) as service:
        yield service


async def forsake(api: Api) -> None:
    assert (await api.post(f"/queues/{FORSAKEN}/jobs", {"name": "n", "opts": {"jobId": "first"}})).status == 201


async def evaluate(harness: Harness, service: WorkerService) -> None:
    async with operations_on(harness.url) as operations:
        settings = service.settings
        await operations.alerts.evaluate(settings.alerts, targets_of(settings), "this test")


def evaluate_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let services evaluate the rules at once, and again and again."""
    monkeypatch.setattr(server, "FIRST_DUTY_S", 0)
    monkeypatch.setattr(alert_watch, "INTERVAL_S", 0.05)
    monkeypatch.setattr(alert_watch, "CANDIDACY_S", 0.05)
    monkeypatch.setattr(alert_watch, "SHARE", 0)


async def test_the_page_says_what_fires_since_when_and_who_was_told(
    harness: Harness, service: WorkerService, reader: Visitor, api: Api
) -> None:
    assert "There are no rules." in (await reader.get("alerts")).text
    await evaluate(harness, service)
    fine = await reader.get("alerts")
    assert "No alert fires." in fine.text
    assert "Jobs wait without a worker" in fine.text
    await forsake(api)
    await evaluate(harness, service)
    page = await reader.get("alerts")
    assert f"No worker on {FORSAKEN} with 1 waiting" in page.text
    assert "; notified webhook" in page.text
    assert f"queue?queue={FORSAKEN}" in page.links
    assert "badge failed" in page.text
    assert (await api.get("/alerts")).json["alerts"][0]["queue"] == FORSAKEN
    await api.delete(f"/queues/{FORSAKEN}/jobs/first")
    await evaluate(harness, service)
    over = await reader.get("alerts")
    assert "No alert fires." in over.text
    assert "Over within the last day" in over.text


async def test_rules_that_nobody_evaluates_are_not_taken_for_kept(
    harness: Harness, service: WorkerService, reader: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auth_worker.http.dashboard.alerts.STALE_MS", -1)
    await evaluate(harness, service)
    page = await reader.get("alerts")
    assert "Nobody evaluates the rules" in page.text
    assert "No alert fires." not in page.text


async def test_an_admin_sends_a_test_and_a_reader_may_not(
    service: WorkerService, admin: Visitor, reader: Visitor, api: Api, hook: Receiver
) -> None:
    form = (await admin.get("alerts")).form("test-alerts")
    said = await admin.send(form)
    assert "A test was sent." in said.text
    assert "taken" in said.text
    assert [each.body["test"] for each in hook.requests] == [True]
    hook.answer_with(404)
    assert "it has answered 404" in (await admin.send(form)).text
    assert (await api.post("/alerts/test")).json == [{"target": "webhook", "error": "it has answered 404"}]
    assert all(each.action != "test-alerts" for each in (await reader.get("alerts")).forms)
    assert (await Api(service.http_port, READER).post("/alerts/test")).status == 403
    assert "test alerts" in (await reader.get("changes")).text


async def test_a_dashboard_of_its_own_without_targets_says_so(harness: Harness) -> None:
    pages = dashboard(harness.url, settings=Settings(http_token=ADMIN, log_level="ERROR"))
    try:
        async with serving(pages) as port:
            visitor = Visitor(port)
            await visitor.log_in(ADMIN)
            refused = await visitor.send((await visitor.get("alerts")).form("test-alerts"))
            assert refused.status == 422
            assert "name nobody to notify" in refused.text
    finally:
        await pages.stop()


async def test_of_two_replicas_one_tells_and_the_other_goes_on_where_it_was(
    harness: Harness, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate_often(monkeypatch)
    rules = {"no_worker": 0, "webhook_url": hook.url}
    async with service_at(harness.url, alerts=rules) as one, service_at(harness.url, alerts=rules) as other:
        await forsake(Api(one.http_port, ADMIN))
        await eventually(lambda: hook.alerts, "the notification")
        await harness.redis.set("bull:auth-worker-alerts:elected", "nobody", px=300)

        async def evaluated_again() -> bool:
            return bool(await harness.redis.get("bull:auth-worker-alerts:elected") not in (None, b"nobody"))

        await eventually(evaluated_again, "one of them goes on")
        await Api(other.http_port, ADMIN).delete(f"/queues/{FORSAKEN}/jobs/first")
        await eventually(lambda: len(hook.alerts) > 1, "it is over")
    assert hook.alerts == [("began", FORSAKEN), ("resolved", FORSAKEN)]


async def test_whoever_is_not_elected_holds_no_connection(harness: Harness) -> None:
    async def open_operations() -> Operations:
        return Operations(operator_broker(harness.url, "bull"))

    settings = Settings(alerts={"no_worker": 0}, log_level="ERROR")
    watches = [AlertWatch(open_operations, settings, name, lambda _: None) for name in ("one", "other")]
    assert [await watch.attempt() for watch in watches] == [True, False]
    names = [each["name"] for each in await harness.redis.client_list()]
    assert names.count("auth-worker:operations") == 1
    await watches[0].stop()
    assert await watches[1].attempt(), "whoever stops lets another go on at once"
    await watches[1].stop()


async def test_what_cannot_be_sent_is_logged_and_an_absent_broker_is_survived(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alert_watch, "CANDIDACY_S", 0.01)
    await harness.jobs.add("n", {})
    asked, failures = 0, asyncio.Event()

    async def open_operations() -> Operations:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise BrokerUnavailableError("it is away")
        return Operations(operator_broker(harness.url, "bull"))

    with receiving(Receiver(404)) as receiver:
        settings = Settings(alerts={"no_worker": 0, "webhook_url": receiver.url}, log_level="ERROR")
        watch = AlertWatch(open_operations, settings, "one", lambda _: failures.set())
        running = asyncio.create_task(watch.run())
        await asyncio.wait_for(failures.wait(), 10)
        running.cancel()
        await asyncio.wait({running})
    assert asked == 3


async def test_a_service_reports_what_it_could_not_send(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate_often(monkeypatch)
    with receiving(Receiver(404)) as receiver:
        rules = {"no_worker": 0, "webhook_url": receiver.url}
        async with service_at(harness.url, alerts=rules, dashboard=False) as service:
            problems = collect(service.runtime.bus, Problem)
            await forsake(Api(service.http_port, ADMIN))
            await eventually(lambda: problems, "it is reported")
    assert (problems[0].message, problems[0].detail) == (
        WORKER_ERRORS.ALERT_NOT_SENT,
        "webhook: it has answered 404",
    )
