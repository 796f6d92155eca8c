"""What the pages show of real queues, jobs, letters and workers."""

from __future__ import annotations

import re
from urllib.parse import urlencode

from auth_worker import JobQueue, WorkerService
from auth_worker.admin.bulk import finish
from auth_worker.core.ports.values import STATES
from support.admin_api import JOBS, SECRET, add, dead, dead_jobs
from support.dashboard_visitor import Page, Visitor
from support.http_requests import Api
from support.operators import operations_on
from support.processors import DEAD, QUEUE, Harness, eventually


async def test_the_overview_shows_problems_first_with_their_remedies(reader: Visitor, paused_api: Api) -> None:
    await paused_api.post(f"/queues/{QUEUE}/jobs", {"name": "good"})
    await paused_api.post("/queues/forsaken/jobs", {"name": "good"})
    await paused_api.post(f"/queues/{QUEUE}/pause")
    page = await reader.get()
    assert "No worker on forsaken with 1 waiting" in page.text
    assert "start one: auth-worker run" in page.text
    assert f"{QUEUE} is paused with 1 waiting" in page.text
    assert page.text.index("No worker on") < page.text.index("is paused with") < page.text.index("<table")


async def test_dead_letters_since_the_last_deploy_are_put_down_to_it(
    reader: Visitor, api: Api, harness: Harness
) -> None:
    await dead(api)
    async with operations_on(harness.url) as operations:
        for version in ("1.0", "2.0"):
            await operations.history.mark_version(version)
    await add(api, "bad")

    async def both() -> bool:
        return len(await dead_jobs(api)) == 2

    await eventually(both, "the second dead letter")
    page = await reader.get()
    assert f"{QUEUE} has 2 dead letters, 1 since the deploy of 2.0" in page.text
    assert "if so, roll it back, then redrive" in page.text


async def test_where_nothing_is_wrong_the_pages_say_so(reader: Visitor) -> None:
    assert "No queue has dead letters." in (await reader.get("dead")).text
    assert "There are none. To start one" in (await reader.get("operations")).text


async def test_a_page_behind_the_end_of_a_list_shows_its_last_page(
    admin: Visitor, paused_api: Api, harness: Harness
) -> None:
    async with JobQueue("long", harness.url) as queue:
        await queue.add_bulk({"name": "good"} for _ in range(130))
        await queue.upsert_job_scheduler("nightly", name="report", pattern="0 3 * * *")
    async with operations_on(harness.url) as operations:
        jobs = [job.id for job in (await operations.jobs.page("long", "wait", limit=3)).jobs]
        await finish(operations.jobs.dead_letter_many("long", jobs, to="longDead"))
    await admin.send((await admin.get("queue", queue="long")).form("change-queue"), ("action", "pause"))
    jobs_left = await admin.get("queue", queue="long", state="wait", offset=900)
    assert jobs_left.text.count('name="ids"') == 27
    assert "← Previous 100" in jobs_left.text
    assert (await admin.get("dead", queue="longDead", offset=900)).text.count('name="ids"') == 3
    for page in ("", "schedulers", "changes", "workers"):
        shown = await admin.get(page, offset=900)
        assert '<th scope="row">' in shown.text, page


async def test_queues_are_filtered_sorted_and_paged(
    reader: Visitor, harness: Harness, service: WorkerService
) -> None:
    async with harness.redis.pipeline() as pipe:
        for number in range(250):
            name = f"tenant{number % 5}-queue{number:03}"
            pipe.hset(f"bull:{name}:meta", "opts.maxLenEvents", "10000")
            pipe.rpush(f"bull:{name}:wait", *map(str, range(number + 1)))
        await pipe.execute()
    first = await reader.get(sort="waiting")
    assert first.text.index("tenant4-queue249") < first.text.index("tenant3-queue248")
    assert "queue149" not in first.text.partition("<table")[2]
    assert any("offset=100" in link for link in first.links)
    second = await reader.get(sort="waiting", offset=100)
    assert "queue149" in second.text
    some = (await reader.get(match="TENANT3-")).text.partition("<table")[2]
    assert "tenant3-queue248" in some
    assert "tenant4" not in some
    grouped = (await reader.get(group=1)).text.partition("<table")[2]
    assert grouped.count('<th scope="row">') == 6
    assert "No queue has nothing-like-it in its name." in (await reader.get(match="nothing-like-it")).text
    assert (await reader.get(sort="no such order", offset="-1")).status == 200
    assert (await reader.get(problems="all")).text.count("No worker on") == 250


async def test_the_heading_of_a_column_sorts_by_it(reader: Visitor, paused_api: Api) -> None:
    await add(paused_api)
    page = await reader.get(match=QUEUE, sort="waiting")
    assert f"./?match={QUEUE}&sort=failed" in page.links
    assert page.text.count("aria-sort=") == 1
    assert '<th scope="col" class="n" aria-sort="descending">' in page.text


async def test_a_problem_leads_to_where_it_is_mended(reader: Visitor, api: Api) -> None:
    await dead(api)
    problem = (await reader.get()).text.partition('<ul class="problems">')[2]
    assert f'<a href="dead?queue={DEAD}&amp;from={QUEUE}">{QUEUE} has 1 dead letter</a>' in problem


async def test_the_queue_has_a_tab_a_state_and_100_rows_a_page(reader: Visitor, paused_api: Api) -> None:
    await paused_api.post("/operations", {"action": "drain", "queue": QUEUE})
    for number in range(105):
        await add(paused_api, jobId=f"j{number}")
    page = await reader.get("queue", queue=QUEUE)
    assert all(f"state={state}" in page.text for state in STATES if state != "paused")
    assert page.text.count("job=j") == 100
    following = next(link for link in page.links if "offset=100" in link)
    assert (await reader.get(following)).text.count("job=j") == 5
    filtered = await reader.get("queue", queue=QUEUE, state="waiting", id="j10*")
    assert filtered.text.count("job=j") == 6
    assert (
        "None of the 105 jobs looked at matches."
        in (await reader.get("queue", queue=QUEUE, state="wait", name="nobody")).text
    )


async def test_the_chosen_columns_stay_in_every_link_and_form_of_the_queue(
    admin: Visitor, paused_api: Api
) -> None:
    for number in range(101):
        await add(paused_api, jobId=f"j{number}")
    assert headings(await admin.get("queue", queue=QUEUE)) == ["Id", "Name", "Error", "Added", "Attempts", "Data"]
    asked = [("queue", QUEUE), ("state", "wait"), ("column", "priority"), ("column", "waited")]
    page = await admin.get(f"queue?{urlencode(asked)}")
    assert headings(page) == ["Id", "Waited", "Priority"]
    same_view = [link for link in page.links if link.startswith("queue?")]
    assert len(same_view) >= len(STATES)
    without = [link for link in same_view if "column=waited&column=priority" not in link]
    assert without == [f"queue?queue={QUEUE}&state=wait"]  # back to the columns of each state
    assert headings(await admin.get(next(link for link in same_view if "offset=100" in link))) == headings(page)
    chosen = [("column", "waited"), ("column", "priority")]
    assert [field for field in page.form("queue").fields if field[0] == "column"] == chosen
    paused = await admin.send(page.form("change-queue"), ("action", "pause"))
    assert headings(await admin.follow(paused)) == ["Id", "Waited", "Priority"]
    assert len(headings(await admin.get("queue", queue=QUEUE, column="none such"))) == 6


def headings(page: Page) -> list[str]:
    """The headings of the columns with values."""
    return re.findall(r'<th scope="col"(?: class="n")?>(\w+)</th>', page.text)


async def test_what_there_is_not_is_said_with_its_names(reader: Visitor, paused_api: Api) -> None:
    await add(paused_api)
    missing = await reader.get("queue", queue="wrok")
    assert missing.status == 404
    assert f"there are: {QUEUE}" in missing.text
    assert (await reader.get("queue", queue="a:b")).status == 422
    assert (await reader.get("queue", queue=QUEUE, state="dead-or-alive")).status == 422
    assert (await reader.get("job", queue=QUEUE, job="nobody")).status == 404
    assert (await reader.get("operation", id="none")).status == 404
    assert (await reader.get("letter", queue=QUEUE, letter="none")).status == 404
    assert (await reader.get("dead", queue=QUEUE, reason="bad luck")).status == 422


async def test_a_failed_job_shows_its_life_and_masks_its_secrets(reader: Visitor, api: Api) -> None:
    (letter,) = await dead(api)
    page = await reader.get("job", queue=QUEUE, job=letter["jobId"])
    for text in (
        "Added",
        "The last attempt started",
        "Failed for good",
        "Stack trace",
        "trying bad",
        letter["id"],
    ):
        assert text in page.text
    assert "&lt;text of 14&gt;" in page.text
    dead_letter = await reader.get(next(link for link in page.links if link.startswith("letter?")))
    assert dead_letter.status == 200
    assert letter["id"] in dead_letter.text
    assert SECRET not in page.text
    listed = await reader.get("dead", queue=DEAD)
    assert "unrecoverable" in listed.text
    assert f"letter={letter['id'].replace('@', '%40')}" in listed.text
    shown = await reader.get("letter", queue=DEAD, letter=letter["id"])
    assert SECRET not in listed.text + shown.text
    assert f"queue={QUEUE}" in shown.text
    overview = await reader.get("dead")
    assert DEAD in overview.text
    assert f"dead?queue={DEAD}&reason=unrecoverable" in overview.links
    assert (
        "None of the 1 dead letters looked at matches."
        in (await reader.get("dead", queue=DEAD, reason="stalled")).text
    )


async def test_jobs_in_every_state_show_what_they_wait_for(reader: Visitor, api: Api, harness: Harness) -> None:
    held = await add(api, "held")
    later = await add(api, delay=3_600_000)
    await eventually(lambda: _is_active(api, held), "the job runs")
    assert "Runs now" in (await reader.get("job", queue=QUEUE, job=held)).text
    assert "Delayed" in (await reader.get("job", queue=QUEUE, job=later)).text
    assert "its lease lasts another" in (await reader.get("job", queue=QUEUE, job=held)).text
    await harness.redis.delete(f"bull:{QUEUE}:{held}:lock")
    assert "no worker holds it" in (await reader.get("job", queue=QUEUE, job=held)).text
    for state in ("active", "delayed", "completed", "prioritized"):
        assert (await reader.get("queue", queue=QUEUE, state=state)).status == 200
    await api.post("/service/pause")
    waiting = await add(api)
    assert "Waits for a worker" in (await reader.get("job", queue=QUEUE, job=waiting)).text


async def _is_active(api: Api, job_id: str) -> bool:
    return bool((await api.get(f"{JOBS}/{job_id}")).json["state"] == "active")


async def test_an_id_is_found_in_all_queues(reader: Visitor, paused_api: Api, port: int) -> None:
    page = await reader.get("search", q="kept")
    assert page.text.count("job=kept") == 2
    by_name = await reader.get("search", q=QUEUE.upper())
    assert f"queue?queue={QUEUE}" in by_name.links
    assert "No job of the 2 queues" in (await reader.get("search", q="nowhere")).text
    assert "Enter the whole id" in (await reader.get("search")).text


async def test_jobs_of_all_queues_are_searched_by_what_they_have_in_common(
    reader: Visitor, paused_api: Api, harness: Harness
) -> None:
    await paused_api.post("/operations", {"action": "drain", "queue": QUEUE})
    big = 2**53 + 1
    for number in range(103):
        await add(paused_api, jobId=f"j{number}", data={"user": {"id": big - number % 2}})

    async def all_are_seen() -> bool:
        return "of 103:" in (await reader.get("search", q="state:waiting name:good")).text

    await eventually(all_are_seen, "the counts are no older ones")
    first = await reader.get("search", q="state:waiting name:good")
    assert "Looked at 100 of 103:" in first.text
    assert first.text.count("job=j") == 100
    onward = next(link for link in first.links if link.startswith("search?") and "from=" in link)
    second = await reader.get(onward)
    assert second.text.count("job=j") == 3
    assert "Looked at 103 of 103 jobs, which are all" in second.text
    exact = await reader.get("search", q=f"queue:{QUEUE} data.user.id={big}")
    assert exact.text.count("job=j") == 52
    assert "is no qualifier; did you mean queue:? There are" in (await reader.get("search", q="quue:mail")).text
    assert "search?q=state%3Afailed+newer%3A1h" in (await reader.get("search")).text
    lost = await reader.get("job", queue=QUEUE, job="lost")
    assert f"There is no job lost in queue {QUEUE}." in lost.text
    assert f"queue?queue={QUEUE}" in lost.links
    assert "did you mean" in (await reader.get("search", q=f"queue:{QUEUE[:-1]} state:failed")).text


async def test_workers_are_listed(reader: Visitor, service: WorkerService, api: Api) -> None:
    await add(api)
    assert f"queue?queue={QUEUE}" in (await reader.get("workers")).links
    assert (await reader.get("workers", queue=QUEUE)).status == 200
    assert (await reader.get("workers", queue="nobody")).status == 404


async def test_numbers_that_floats_cannot_hold_stay_as_they_are(admin: Visitor, paused_api: Api) -> None:
    job_id = await add(paused_api, data={"n": 9007199254740993})
    page = await admin.get("job", queue=QUEUE, job=job_id)
    revealed = await admin.send(page.form("change-job"), ("action", "reveal"))
    assert "9007199254740993" in revealed.text
