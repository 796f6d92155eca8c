"""Whoever has sent a form in vain comes back to its page, with the rows that were selected there."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import pytest

from auth_worker.http.dashboard.way_back import LONGEST, way_back
from support.admin_api import ADMIN, add
from support.dashboard_visitor import Page, Visitor
from support.http_requests import Api
from support.processors import QUEUE

UNUSUAL = "a&b=c"


async def bulk_of(admin: Visitor, api: Api) -> tuple[Page, list[tuple[str, str]]]:
    """A page of two jobs, and the fields of its form with the first one selected, to be removed."""
    for job_id in (UNUSUAL, "other"):
        await add(api, jobId=job_id)
    page = await admin.get("queue", queue=QUEUE, state="wait", name="*")
    sent = [("scope", "ids"), ("ids", UNUSUAL), ("action", "remove")]
    return page, [*page.form("bulk", "remove").fields, *sent]


def check_is_back(page: Page) -> None:
    """It is the page of the form, with the first job selected alone."""
    assert page.status == 200
    shown = {"queue": [QUEUE], "state": ["wait"], "name": ["*"]}
    assert parse_qs(urlsplit(page.path).query) == {**shown, "selected": [UNUSUAL]}
    assert re.findall(r'name="ids" value="([^"]*)" checked', page.text) == [UNUSUAL.replace("&", "&amp;")]
    assert "selected again" in page.text


async def test_a_login_leads_back_to_the_page_of_a_form_whose_session_has_ended(
    admin: Visitor, paused_api: Api
) -> None:
    _, fields = await bulk_of(admin, paused_api)
    admin.cookie = ""
    refused = await admin.post("bulk", fields)
    assert refused.status == 401
    assert "nothing was changed" in refused.text
    wrong = await admin.send(refused.form("login"), ("token", "wrong"))
    check_is_back(await admin.follow(await admin.send(wrong.form("login"), ("token", ADMIN))))


async def test_a_session_that_ends_at_the_second_question_leads_back_too(admin: Visitor, paused_api: Api) -> None:
    _, fields = await bulk_of(admin, paused_api)
    asked = await admin.post("bulk", fields)
    assert "Remove 1 job?" in asked.text
    admin.cookie = ""
    refused = await admin.send(asked.form("bulk"), ("sure", "yes"))
    check_is_back(await admin.follow(await admin.send(refused.form("login"), ("token", ADMIN))))


async def test_a_form_of_another_session_has_a_link_back_to_its_page(admin: Visitor, paused_api: Api) -> None:
    _, fields = await bulk_of(admin, paused_api)
    await admin.log_in(ADMIN)
    refused = await admin.post("bulk", fields)
    assert refused.status == 403
    assert "Nothing was changed." in refused.text
    check_is_back(await admin.get(next(link for link in refused.links if "selected" in link)))


async def test_what_another_site_sends_selects_nothing(admin: Visitor, paused_api: Api) -> None:
    _, fields = await bulk_of(admin, paused_api)
    assert "selected=" not in (await admin.post("bulk", fields, sec_fetch_site="cross-site")).text
    admin.cookie = ""
    assert "selected=" not in (await admin.post("bulk", fields, sec_fetch_site="cross-site")).text


async def test_nothing_that_was_typed_comes_back(admin: Visitor, paused_api: Api) -> None:
    job_id = await add(paused_api)
    page = await admin.get("job", queue=QUEUE, job=job_id)
    admin.cookie = ""
    fields = [*page.form("change-job").fields, ("data", "s3cret"), ("action", "retry")]
    refused = await admin.post("change-job", fields)
    assert refused.status == 401
    assert "s3cret" not in refused.text
    back = await admin.follow(await admin.send(refused.form("login"), ("token", ADMIN)))
    assert back.path == page.path


@pytest.mark.parametrize("address", ["//evil.example", "bulk", "login?next=x", "https://evil.example/queue", ""])
def test_it_leads_to_no_other_place(address: str) -> None:
    assert way_back({"page": [address]}) == "./"


def test_more_rows_than_an_address_holds_are_not_selected() -> None:
    ids = [f"{number:020}" for number in range(LONGEST // 20)]
    assert way_back({"page": ["queue?queue=q&done=retry&selected=x"], "ids": ids}) == "queue?queue=q"
    assert way_back({}) == "./"
