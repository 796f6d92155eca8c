"""Forms that are sent twice, by a double click or over a slow link, and forms that cannot be answered."""

from __future__ import annotations

import asyncio

from auth_worker import WorkerService
from support.admin_api import ADMIN, JOBS, add, service_at
from support.dashboard_visitor import Page, Visitor
from support.http_requests import Api
from support.processors import QUEUE, Harness, eventually
from support.servers import Server, free_port


async def confirmation(admin: Visitor) -> Page:
    """The page that asks whether to remove all waiting jobs."""
    form = (await admin.get("queue", queue=QUEUE, state="wait")).form("bulk", "remove")
    return await admin.send(form, ("action", "remove"), ("scope", "all"))


async def test_a_copy_that_is_sent_twice_is_added_once(admin: Visitor, paused_api: Api) -> None:
    await add(paused_api, jobId="first")
    form = (await admin.get("job", queue=QUEUE, job="first")).form("change-job", "reveal")
    page = await admin.send(form, ("action", "reveal"))
    sent = page.form("add-job")
    fields = (("name", "copy"), ("data", "{}"), ("opts", "{}"))
    added = await asyncio.gather(*(admin.send(sent, *fields) for _ in range(2)))
    assert len({page.location for page in added}) == 1
    assert len((await paused_api.get(JOBS, state="wait")).json["jobs"]) == 2
    again = await admin.send(form, ("action", "reveal"))
    await admin.send(again.form("add-job"), *fields)
    assert len((await paused_api.get(JOBS, state="wait")).json["jobs"]) == 3, "another page adds another copy"


async def test_a_bulk_operation_that_is_confirmed_twice_is_begun_once_also_by_two_replicas(
    admin: Visitor, paused_api: Api, service: WorkerService, harness: Harness
) -> None:
    async with service_at(harness.url) as other:
        await Api(other.http_port, ADMIN).post("/service/pause")
        for _ in range(5):
            await add(paused_api)
        confirm = (await confirmation(admin)).form("bulk")
        elsewhere = Visitor(other.http_port)
        elsewhere.cookie = admin.cookie.replace(str(service.http_port), str(other.http_port))
        sent = [each.send(confirm, ("sure", "yes"), ("rate", "0.5")) for each in (admin, elsewhere, admin)]
        locations = {page.location for page in await asyncio.gather(*sent)}
    assert len(locations) == 1
    begun = [each for each in (await paused_api.get("/operations")).json if not each["dryRun"]]
    assert len(begun) == 1

    page = await admin.get(locations.pop().removeprefix("/"))
    if "stop" in [form.action for form in page.forms]:
        page = await admin.follow(await admin.send(page.form("stop")))
    confirm = (await admin.send(page.form("again"))).form("again")
    again = [await admin.send(confirm, ("sure", "yes")) for _ in range(2)]
    assert [page.status for page in again] == [303, 303]
    assert again[0].location == again[1].location


async def test_a_form_that_redis_does_not_answer_is_not_asked_for_as_a_page() -> None:
    with Server() as own:
        async with service_at(own.url) as service:
            admin = Visitor(service.http_port)
            await admin.log_in(ADMIN)
            await Api(service.http_port, ADMIN).post(f"/queues/{QUEUE}/jobs", {"name": "good"})
            form = (await admin.get("queue", queue=QUEUE)).form("change-queue", "pause")
            own.kill()

            async def is_away() -> bool:
                return (await admin.get()).status == 503

            await eventually(is_away, "Redis is away", within=20)
            page = await admin.send(form, ("action", "pause"))
            assert page.status == 503
            assert 'http-equiv="refresh"' not in page.text
            assert "see whether it was done" in page.text


async def test_what_redis_refuses_is_said_to_be_refused() -> None:
    with Server() as own:
        async with service_at(own.url) as service:
            admin = Visitor(service.http_port)
            await admin.log_in(ADMIN)
            await Api(service.http_port, ADMIN).post(f"/queues/{QUEUE}/jobs", {"name": "good"})
            form = (await admin.get("queue", queue=QUEUE)).form("change-queue", "pause")
            await asyncio.to_thread(own.ask, f"REPLICAOF 127.0.0.1 {free_port()}")  # as after a fail-over
            page = await admin.send(form, ("action", "pause"))
            assert page.status == 503
            assert "Redis refuses this" in page.text
            assert "READONLY" in page.text
            assert "Redis does not respond" not in page.text
            assert 'http-equiv="refresh"' not in page.text
