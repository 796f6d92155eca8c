"""Who may see and do what: every route with every role, sessions, and forms of other sites."""

from __future__ import annotations

import re
import time
from urllib.parse import parse_qsl, urlsplit

import pytest

from auth_worker import WorkerService
from auth_worker.events import OperatorChange, Problem
from auth_worker.http.dashboard import paths
from auth_worker.http.dashboard.app import PAGES
from auth_worker.http.dashboard.static import version
from auth_worker.messages import WORKER_ERRORS
from support.admin_api import ADMIN, READER, service_at
from support.dashboard_visitor import Visitor
from support.http_requests import Api, asked
from support.processors import QUEUE, Harness, collect

LOOKS = [
    page.path[1:] for page in PAGES if page.role == "reader" and page.method == "GET" and page.path != "/events"
]
ACTS = [page.path[1:] for page in PAGES if page.role == "admin"]


def test_the_port_knows_every_page_and_no_other() -> None:
    known = {page.path for page in PAGES}
    assert known == {*paths.LOOK, *paths.ACT, paths.LOG_IN, paths.LOG_OUT}
    assert {page.path for page in PAGES if page.role == "admin"} == set(paths.ACT)
    assert all(page.method == "POST" for page in PAGES if page.role == "admin")


async def test_without_a_session_every_page_leads_to_the_log_in(service: WorkerService) -> None:
    stranger = Visitor(service.http_port)
    for path in LOOKS:
        page = await stranger.get(path)
        assert page.status == 303, path
        assert page.location == (f"/login?next={path}" if path else "/login"), path
    for path in [*ACTS, "logout"]:
        refused = await stranger.post(path, [("queue", QUEUE)])
        assert refused.status == 401, path
        assert "nothing was changed" in refused.text
    assert (await stranger.get("events")).status == 401
    assert (await stranger.get("login")).status == 200
    assert (await stranger.get(f"static/{version()}/dashboard.css")).status == 200


async def test_a_browser_gets_a_page_where_nothing_is_and_a_program_json(service: WorkerService) -> None:
    page = await asked(service.http_port, "/queues", accept="text/html,*/*;q=0.8")
    assert (page.status, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "There is no such page" in page.text
    assert (await asked(service.http_port, "/queues", accept="application/json")).status == 401
    assert (await asked(service.http_port, "/queues", "POST", accept="text/html")).status == 401


@pytest.mark.parametrize("path", ["/health", "/metrics", "/metrics/", "/api", "/api/v1/queues", "/queues/x"])
async def test_a_browser_needs_the_token_for_what_is_no_page(service: WorkerService, path: str) -> None:
    assert (await asked(service.http_port, path, accept="text/html")).status == 401


async def test_the_log_in_leads_to_the_page_that_was_asked_for(service: WorkerService) -> None:
    stranger = Visitor(service.http_port)
    query = {"queue": "a/b &c", "state": "failed", "error": "=?#"}
    asked_for = await stranger.get("queue", **query)
    form = (await stranger.follow(asked_for)).form("login")
    wrong = await stranger.send(form, ("token", "wrong"))
    assert wrong.status == 401
    done = await stranger.send(wrong.form("login"), ("token", READER))
    assert (done.status, urlsplit(done.location).path) == (303, "/queue")
    assert dict(parse_qsl(urlsplit(done.location).query)) == query


@pytest.mark.parametrize(
    "address",
    [
        *(
            "//evil.example",
            "https://evil.example/queue",
            "\\\\evil.example",
            "/\\evil.example",
            "javascript:alert(1)",
        ),
        *("../queue", "logout", "events", "export?queue=x", "static/x", "login", "queue/../x", "queue\r\nx: y"),
    ],
)
async def test_the_log_in_leads_nowhere_else(service: WorkerService, address: str) -> None:
    page = await Visitor(service.http_port).post("login", [("token", READER), ("next", address)])
    assert (page.status, page.headers["location"]) == (303, "./")


async def test_a_link_on_another_site_opens_the_page_in_the_session_and_replaces_no_cookie(
    harness: Harness,
) -> None:
    outside = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}
    for settings in ({}, {"http_token": None, "http_read_token": None}):
        async with service_at(harness.url, **settings) as service:
            for path, address in (
                ("/queue?queue=a%22b&state=wait", "queue?queue=a%22b&amp;state=wait"),
                ("/", "./"),
            ):
                answer = await asked(service.http_port, path, **outside)
                assert answer.status == 200
                assert f'content="0;url={address}"' in answer.text, "our own page leads there, with the cookie"
                assert "set-cookie" not in answer.headers


async def test_a_dashboard_in_the_folder_of_another_has_a_session_of_its_own(
    reader: Visitor, admin: Visitor
) -> None:
    name, _, theirs = admin.cookie.partition("=")
    own = reader.cookie
    for sent in (f"{own}; {name}=~of~another~", f"{name}=~of~another~; {own}", f"{own}; {name}={theirs}"):
        reader.cookie = sent
        page = await reader.get()
        assert page.status == 200
        assert "reader (reader)" in page.text


async def test_a_reader_sees_every_page_and_changes_nothing(reader: Visitor) -> None:
    for path in LOOKS:
        page = await reader.get(path)
        assert page.status in (200, 404, 422), path
        assert {form.action for form in page.forms} <= {"search", "logout", "./", "queue", "dead", "history"}, path
    token = (await reader.get()).form("logout").fields
    for path in ACTS:
        page = await reader.post(path, [*token, ("queue", QUEUE), ("action", "pause")])
        assert page.status == 403, path
        assert "may read only" in page.text


async def test_an_admin_may_do_all_but_only_by_a_form_of_the_session(admin: Visitor, reader: Visitor) -> None:
    theirs = (await reader.get()).form("logout").fields
    own = (await admin.get()).form("logout").fields
    for path in ACTS:
        for fields in ([], theirs, [("form_token", "\xe4")]):
            page = await admin.post(path, [*fields, ("queue", QUEUE)])
            assert page.status == 403, path
            assert "belongs to another session" in page.text
        assert (await admin.post(path, own, sec_fetch_site="cross-site")).status == 403, path
        assert (await admin.post(path, own, sec_fetch_site="same-origin")).status in (404, 422), path


async def test_a_token_is_exchanged_for_a_cookie_that_no_script_and_no_other_site_gets(
    service: WorkerService,
) -> None:
    visitor = Visitor(service.http_port)
    page = await visitor.log_in(f" {READER}\n")
    assert (page.status, page.location) == (303, "/")
    kept = page.headers["set-cookie"]
    assert all(part in kept for part in ("HttpOnly", "SameSite=strict", "Max-Age=43200"))
    assert "Secure" not in kept
    assert "Path" not in kept
    assert READER not in kept
    behind_tls = await Visitor(service.http_port).post("login", [("token", READER)], x_forwarded_proto="https")
    assert "Secure" in behind_tls.headers["set-cookie"]
    assert "reader (reader)" in (await visitor.get()).text


async def test_logging_out_ends_the_session_in_the_browser(admin: Visitor) -> None:
    page = await admin.send((await admin.get()).form("logout"))
    assert page.location.startswith("/login")
    assert "Max-Age=0" in page.headers["set-cookie"]
    assert "You are logged out." in (await admin.follow(page)).text
    assert (await admin.get()).status == 303


@pytest.mark.parametrize("change", ["name", "ends", "signature", "cut", "long"])
async def test_a_forged_cookie_is_no_session(reader: Visitor, change: str) -> None:
    name, _, value = reader.cookie.partition("=")
    who, ends, nonce, signature = value.split("~")
    forged = {
        "name": f"admin~{ends}~{nonce}~{signature}",
        "ends": f"{who}~{int(ends) + 1}~{nonce}~{signature}",
        "signature": f"{who}~{ends}~{nonce}~{'0' * 64}",
        "cut": who,
        "long": value * 10,
    }
    reader.cookie = f"{name}={forged[change]}"
    assert (await reader.get()).location == "/login"


async def test_a_session_ends_with_its_time_and_with_its_token(
    reader: Visitor, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    cookie = reader.cookie
    other = service_at(harness.url, http_read_token="another token of the reader")
    async with other:
        elsewhere = Visitor(other.http_port)
        elsewhere.cookie = f"auth_worker_{other.http_port}={cookie.partition('=')[2]}"
        assert (await elsewhere.get()).location == "/login"
    same = service_at(harness.url)
    async with same:
        elsewhere = Visitor(same.http_port)
        elsewhere.cookie = f"auth_worker_{same.http_port}={cookie.partition('=')[2]}"
        assert (await elsewhere.get()).status == 200
    later = time.time() + 12 * 3600 + 1
    monkeypatch.setattr("auth_worker.http.dashboard.sessions.time.time", lambda: later)
    assert (await reader.get()).location == "/login"


async def test_wrong_tokens_are_counted_and_reported(service: WorkerService) -> None:
    problems = collect(service.runtime.bus, Problem)
    visitor = Visitor(service.http_port)
    statuses = [(await visitor.log_in(f"wrong {n}")).status for n in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    assert (await visitor.log_in(ADMIN)).status == 303
    assert [each.message for each in problems] == [WORKER_ERRORS.HTTP_LOGIN_FAILED] * 10


async def test_the_token_of_metrics_opens_no_dashboard(harness: Harness) -> None:
    service = service_at(harness.url, http_metrics_token="the token of metrics")
    async with service:
        assert (await Visitor(service.http_port).log_in("the token of metrics")).status == 401


async def test_on_loopback_without_tokens_there_is_no_log_in_but_forms_are_guarded(harness: Harness) -> None:
    service = service_at(harness.url, http_token=None, http_read_token=None)
    async with service:
        changes = collect(service.runtime.bus, OperatorChange)
        visitor = Visitor(service.http_port)
        assert (await Api(service.http_port).post(f"/queues/{QUEUE}/jobs", {"name": "good"})).status == 201
        page = await visitor.get("queue", queue=QUEUE)
        assert page.status == 200
        assert (await visitor.post("change-queue", [("queue", QUEUE), ("action", "pause")])).status == 403
        assert (await visitor.send(page.form("change-queue"), ("action", "pause"))).status == 303
        assert [(each.who, each.action) for each in changes][1:] == [("local", "pause")]
        rebound = await asked(service.http_port, "/", host="evil.example")
        assert rebound.status == 400


async def test_it_can_be_turned_off(harness: Harness) -> None:
    service = service_at(harness.url, dashboard=False)
    async with service:
        assert (await asked(service.http_port, "/")).status == 401
        assert (await asked(service.http_port, "/", authorization=f"Bearer {ADMIN}")).status == 404
        assert (await asked(service.http_port, "/login")).status == 401


async def test_every_page_has_a_policy_without_anything_inline(admin: Visitor) -> None:
    for path in [*LOOKS, "login", f"static/{version()}/dashboard.js"]:
        page = await admin.get(path)
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none';"), path
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert page.headers["x-content-type-options"] == "nosniff"
        assert not {name for name in page.attributes if name.startswith("on") or name == "style"}, path
    assert (await admin.get(f"static/{version()}/%2e%2e%2fapp.py")).status == 404
    assert (await admin.get(f"static/{version()}/nothing.js")).status == 404
    assert (await admin.post(f"static/{version()}/dashboard.js", [])).status == 405


async def test_a_browser_keeps_no_script_of_another_version(admin: Visitor) -> None:
    sources = (await admin.get()).sources
    assert {source.rpartition("/")[0] for source in sources} == {f"/static/{version()}"}
    for source in sources:
        assert "immutable" in (await admin.get(source)).headers["cache-control"]
    script = await admin.get(f"static/{version()}/dashboard.js")
    assert set(re.findall(r'from "([^"]+)"', script.text)) == {"./live.js", "./keys.js", "./search.js"}
    other = await admin.get("static/0123456789abcdef/dashboard.js")
    assert (other.status, other.headers["cache-control"]) == (200, "no-store")


async def test_all_that_a_browser_loads_stays_small(admin: Visitor) -> None:
    overview = await admin.get()
    loaded = [await admin.get(source) for source in overview.sources]
    loaded += [await admin.get(f"static/{version()}/{name}") for name in ("live.js", "keys.js", "search.js")]
    assert all(page.status == 200 for page in loaded)
    assert sum(len(page.text.encode()) for page in [overview, *loaded]) < 120_000


async def test_a_form_that_is_too_large_or_no_form_is_refused(admin: Visitor) -> None:
    own = (await admin.get()).form("logout").fields
    assert (await admin.post("bulk", [*own, *[("ids", str(n)) for n in range(3000)]])).status == 403
    assert (await admin.post("bulk", [*own, ("ids", "x" * 2_100_000)])).status == 403
    assert (await admin.post("login", [("token", "x")] * 3000)).status == 400
