"""Each thing that the pages can change, by the forms that stand on them; its effect is read back elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

from auth_worker import WorkerService
from auth_worker.events import OperatorChange
from support.admin_api import JOBS, SECRET, add, dead, dead_jobs, state_of
from support.dashboard_visitor import Page, Visitor
from support.http_requests import Api
from support.processors import DEAD, QUEUE, collect, eventually


async def on_queue(visitor: Visitor, state: str, **query: Any) -> Page:
    return await visitor.get("queue", queue=QUEUE, state=state, **query)


async def on_job(visitor: Visitor, job_id: str, queue: str = QUEUE) -> Page:
    return await visitor.get("job", queue=queue, job=job_id)


async def confirmed(visitor: Visitor, asked: Page, *more: tuple[str, str], ends: bool = True) -> Page:
    """Send the form of a page that says how many, and load the page of the bulk operation, at its end."""
    assert asked.status == 200, asked.text
    begun = await visitor.follow(await visitor.send(asked.form("bulk"), ("sure", "yes"), *more))

    async def look() -> Page | None:
        page = await visitor.get(begun.path)
        return None if "badge running" in page.text else page

    ended: Page = await eventually(look, "the bulk operation to end") if ends else begun
    return ended


async def count(api: Api, state: str, queue: str = QUEUE) -> int:
    return int((await api.get(f"/queues/{queue}")).json["counts"][state])


async def test_a_queue_is_paused_and_resumed(admin: Visitor, paused_api: Api, service: WorkerService) -> None:
    await add(paused_api)
    changes = collect(service.runtime.bus, OperatorChange)
    form = (await on_queue(admin, "wait")).form("change-queue", "pause")
    done = await admin.follow(await admin.send(form, ("action", "pause")))
    assert "The queue is paused." in done.text
    assert (await paused_api.get(f"/queues/{QUEUE}")).json["paused"]
    await admin.send(done.form("change-queue", "resume"), ("action", "resume"))
    assert not (await paused_api.get(f"/queues/{QUEUE}")).json["paused"]
    assert [(each.who, each.action) for each in changes] == [("admin", "pause"), ("admin", "resume")]
    assert (await admin.send(form, ("action", "explode"))).status == 422
    assert (await admin.post("change-queue", [*form.fields[:1], ("queue", "nobody")])).status == 404


async def test_the_overview_shows_at_once_what_was_changed_on_a_page(admin: Visitor, paused_api: Api) -> None:
    await add(paused_api)
    mark = "badge paused"
    form = (await on_queue(admin, "wait")).form("change-queue", "pause")
    assert mark not in (await admin.get("")).text
    await admin.send(form, ("action", "pause"))
    assert mark in (await admin.get("")).text
    await admin.send(form, ("action", "resume"))
    assert mark not in (await admin.get("")).text


async def test_a_failed_job_is_retried(admin: Visitor, api: Api) -> None:
    (letter,) = await dead(api)
    await api.post("/service/pause")
    form = (await on_job(admin, letter["jobId"])).form("change-job", "retry")
    done = await admin.follow(await admin.send(form, ("action", "retry")))
    assert "The job waits again, with fresh attempts." in done.text
    assert await state_of(api, letter["jobId"]) == "wait"
    again = await admin.send(form, ("action", "retry"))
    assert again.status == 409
    assert (await admin.send(form, ("action", "explode"))).status == 422


async def test_a_delayed_job_is_promoted(admin: Visitor, paused_api: Api) -> None:
    job_id = await add(paused_api, delay=3_600_000)
    form = (await on_job(admin, job_id)).form("change-job", "promote")
    assert (await admin.send(form, ("action", "promote"))).status == 303
    assert await state_of(paused_api, job_id) == "wait"


async def test_a_running_job_is_cancelled(admin: Visitor, api: Api) -> None:
    job_id = await add(api, "held")

    async def in_state(state: str) -> bool:
        return await state_of(api, job_id) == state

    await eventually(lambda: in_state("active"), "the job to run")
    form = (await on_job(admin, job_id)).form("change-job", "cancel")
    done = await admin.follow(await admin.send(form, ("action", "cancel")))
    assert "The job is cancelled" in done.text
    await eventually(lambda: in_state("failed"), "the job to stop")
    assert (await admin.send(form, ("action", "cancel"))).status == 409


async def test_a_waiting_job_is_moved_to_the_dead_letters(admin: Visitor, paused_api: Api) -> None:
    job_id = await add(paused_api)
    form = (await on_job(admin, job_id)).form("change-job", "dead-letter")
    asked = await admin.send(form, ("action", "dead-letter"))
    assert "no queue holds dead letters" in asked.text
    assert await state_of(paused_api, job_id) == "wait"
    moved = await admin.send(asked.form("change-job"), ("to", DEAD), ("reason", "wrong list"))
    assert "The job is in the dead letters." in (await admin.follow(moved)).text
    assert await dead_jobs(paused_api) == {job_id}


async def test_all_waiting_jobs_are_moved_to_the_dead_letters(admin: Visitor, paused_api: Api) -> None:
    ids = [await add(paused_api) for _ in range(3)]
    form = (await on_queue(admin, "wait")).form("bulk", "dead-letter")
    where = await admin.send(form, ("scope", "all"), ("action", "dead-letter"))
    asked = await admin.send(where.form("bulk"), ("to", DEAD), ("reason", ""))
    assert "Dead-letter 3 jobs?" in asked.text
    assert await count(paused_api, "wait") == 3
    await confirmed(admin, asked)
    assert await dead_jobs(paused_api) == set(ids)


async def test_waiting_jobs_are_cancelled_selected_and_all(admin: Visitor, paused_api: Api) -> None:
    ids = [await add(paused_api) for _ in range(3)]
    form = (await on_queue(admin, "wait")).form("bulk", "cancel")
    asked = await admin.send(form, ("scope", "ids"), ("action", "cancel"), ("ids", ids[0]))
    assert "Cancel 1 job?" in asked.text
    assert await count(paused_api, "wait") == 3
    await confirmed(admin, asked)
    assert [await state_of(paused_api, job_id) for job_id in ids] == ["failed", "wait", "wait"]
    asked = await admin.send(form, ("scope", "all"), ("action", "cancel"))
    assert "Cancel 2 jobs?" in asked.text
    await confirmed(admin, asked)
    assert [await state_of(paused_api, job_id) for job_id in ids] == ["failed"] * 3


async def test_a_job_is_removed_only_after_a_second_question(admin: Visitor, paused_api: Api) -> None:
    job_id = await add(paused_api)
    form = (await on_job(admin, job_id)).form("change-job", "remove")
    asked = await admin.send(form, ("action", "remove"))
    assert asked.status == 200
    assert "cannot be undone" in asked.text
    assert await state_of(paused_api, job_id) == "wait"
    done = await admin.send(asked.form("change-job"), ("action", "remove"))
    assert done.location == f"/queue?queue={QUEUE}&state=wait&done=remove", "the list that it was in"
    assert (await paused_api.get(f"{JOBS}/{job_id}")).status == 404


async def test_revealing_shows_the_data_and_is_in_the_audit_log(
    admin: Visitor, reader: Visitor, api: Api, service: WorkerService
) -> None:
    (letter,) = await dead(api)
    changes = collect(service.runtime.bus, OperatorChange)
    page = await admin.send((await on_job(admin, letter["jobId"])).form("change-job"), ("action", "reveal"))
    assert SECRET in page.text
    assert "data-live" not in page.text
    form = (await admin.get("letter", queue=DEAD, letter=letter["id"])).form("change-letter")
    assert SECRET in (await admin.send(form, ("action", "reveal"))).text
    assert [(each.who, each.action, each.queue, each.target) for each in changes] == [
        ("admin", "reveal", QUEUE, letter["jobId"]),
        ("admin", "reveal", DEAD, letter["id"]),
    ]
    assert "Reveal" not in (await on_job(reader, letter["jobId"])).text
    assert SECRET not in (await reader.get("job", queue=QUEUE, job=letter["jobId"], reveal=1)).text


async def test_selected_rows_are_counted_before_anything_is_done(admin: Visitor, paused_api: Api) -> None:
    ids = [await add(paused_api, jobId=f"j{number}") for number in range(3)]
    form = (await on_queue(admin, "wait")).form("bulk", "remove")
    chosen = [("ids", ids[0]), ("ids", ids[2])]
    asked = await admin.send(form, ("scope", "ids"), ("action", "remove"), *chosen)
    assert "Remove 2 jobs?" in asked.text
    assert await count(paused_api, "wait") == 3
    done = await confirmed(admin, asked)
    assert "<strong>2</strong> of 2 done" in done.text
    assert await count(paused_api, "wait") == 1
    none = await admin.send(form, ("scope", "ids"), ("action", "remove"))
    assert none.status == 422
    assert "No row is selected" in none.text


async def test_all_that_match_are_meant_not_the_page(admin: Visitor, paused_api: Api) -> None:
    for number in range(120):
        await add(paused_api, "old" if number % 2 else "new")
    form = (await on_queue(admin, "wait", name="ol*")).form("bulk", "remove")
    asked = await admin.send(form, ("scope", "all"), ("action", "remove"))
    assert "Remove 60 jobs?" in asked.text
    done = await confirmed(admin, asked, ("rate", "10000"))
    assert "of 60 done" in done.text
    assert await count(paused_api, "wait") == 60


async def test_all_failed_jobs_are_retried_and_all_delayed_ones_promoted(admin: Visitor, api: Api) -> None:
    await dead(api, 3)
    await api.post("/service/pause")
    await add(api, delay=3_600_000)
    form = (await on_queue(admin, "failed")).form("bulk", "retry")
    asked = await admin.send(form, ("scope", "all"), ("action", "retry"))
    assert "Retry 3 jobs?" in asked.text
    await confirmed(admin, asked)
    assert await count(api, "failed") == 0
    assert await count(api, "wait", DEAD) == 0
    form = (await on_queue(admin, "delayed")).form("bulk", "promote")
    await confirmed(admin, await admin.send(form, ("scope", "all"), ("action", "promote")))
    assert await count(api, "wait") == 4


@pytest.mark.parametrize(("delayed", "left"), [(True, 0), (False, 1)])
async def test_a_queue_is_drained(admin: Visitor, paused_api: Api, delayed: bool, left: int) -> None:
    await add(paused_api)
    await add(paused_api, delay=3_600_000)
    form = (await on_queue(admin, "wait")).form("bulk", "drain")
    asked = await admin.send(form, ("action", "drain"), *([("delayed", "true")] if delayed else []))
    assert f"Drain {2 - left} job" in asked.text
    await confirmed(admin, asked)
    assert await count(paused_api, "wait") + await count(paused_api, "delayed") == left


async def test_letters_are_redriven_and_purged(admin: Visitor, api: Api) -> None:
    letters = await dead(api, 4)
    await api.post("/service/pause")
    page = await admin.get("letter", queue=DEAD, letter=letters[0]["id"])
    redriven = await admin.send(page.form("change-letter", "redrive"), ("action", "redrive"))
    assert "The dead letter is redriven" in (await admin.follow(redriven)).text
    assert await state_of(api, letters[0]["jobId"]) == "wait"

    page = await admin.get("letter", queue=DEAD, letter=letters[1]["id"])
    form = page.form("change-letter", "purge")
    asked = await admin.send(form, ("action", "purge"))
    assert await count(api, "wait", DEAD) == 3
    purged = await admin.send(asked.form("change-letter"), ("action", "purge"))
    assert "The dead letter is purged." in (await admin.follow(purged)).text
    assert await count(api, "wait", DEAD) == 2
    assert (await admin.send(form, ("action", "explode"))).status == 422

    bulk = (await admin.get("dead", queue=DEAD, reason="unrecoverable")).form("bulk", "redrive")
    asked = await admin.send(bulk, ("scope", "ids"), ("action", "redrive"), ("ids", letters[2]["id"]))
    assert "Redrive 1 dead letter?" in asked.text
    await confirmed(admin, asked)
    asked = await admin.send(bulk, ("scope", "all"), ("action", "purge"))
    assert "Purge 1 dead letter?" in asked.text
    await confirmed(admin, asked)
    assert await count(api, "wait", DEAD) == 0
    assert await count(api, "wait") == 2


async def test_a_bulk_operation_is_watched_and_stopped(admin: Visitor, paused_api: Api) -> None:
    for _ in range(5):
        await add(paused_api)
    form = (await on_queue(admin, "wait")).form("bulk", "remove")
    asked = await admin.send(form, ("scope", "all"), ("action", "remove"))
    running = await confirmed(admin, asked, ("rate", "0.5"), ends=False)
    assert "running" in running.text
    stopped = await admin.follow(await admin.send(running.form("stop")))
    assert "What it has changed stays changed." in stopped.text
    assert await count(paused_api, "wait") > 0
    listed = await admin.get("operations")
    assert "remove" in listed.text
    assert "stopped" in listed.text


async def test_an_invalid_bulk_operation_is_refused(admin: Visitor, paused_api: Api) -> None:
    await add(paused_api)
    form = (await on_queue(admin, "wait")).form("bulk", "remove")
    for wrong in ([("action", "explode")], [("action", "remove"), ("rate", "-1")], [("action", "clean")]):
        assert (await admin.send(form, *wrong)).status == 422, wrong
    nothing = await admin.send((await on_queue(admin, "wait")).form("bulk", "drain"), ("action", "drain"))
    await confirmed(admin, nothing)
    assert "There is nothing to do." in (await admin.send(form, ("scope", "all"), ("action", "remove"))).text


async def test_a_note_is_added_to_a_dead_letter_and_readers_see_it(
    admin: Visitor, reader: Visitor, api: Api
) -> None:
    (letter,) = await dead(api)
    page = await admin.get("letter", queue=DEAD, letter=letter["id"])
    form = page.form("change-letter", "note")
    done = await admin.follow(await admin.send(form, ("action", "note"), ("note", "waits for <ticket> 4711")))
    assert "The note is added." in done.text
    seen = await reader.get("letter", queue=DEAD, letter=letter["id"])
    assert "admin: waits for &lt;ticket&gt; 4711" in seen.text
    assert all("note" not in dict(form.buttons).values() for form in seen.forms)
    assert (await admin.send(form, ("action", "note"), ("note", " "))).status == 422
    path = f"/dead-letters/{DEAD}/{letter['id']}"
    added = await api.post(f"{path}/notes", {"text": "seen"})
    assert (added.status, len(added.json["notes"])) == (201, 2)
    assert (await api.post(f"/dead-letters/{DEAD}/nobody/notes", {"text": "seen"})).status == 404
