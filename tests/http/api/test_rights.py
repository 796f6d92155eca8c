"""Who may ask what: every route of the API, taken from its document, asked with every kind of token."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from auth_worker import WorkerService
from auth_worker.events import Problem
from auth_worker.http.api import alert_routes, job_routes, routes, scheduler_routes, setting_routes, worker_routes
from auth_worker.messages import WORKER_ERRORS
from support.admin_api import ADMIN, READER, service_at
from support.http_requests import Answer, Api, ask, asked
from support.processors import Harness, collect

METHODS = {"get": "GET", "post": "POST", "patch": "PATCH", "delete": "DELETE", "put": "PUT"}
GUARDED = "send the header X-Auth-Worker: 1"


async def routes_of(port: int | None) -> list[tuple[str, str]]:
    """Method and path of every operation of the document, with names in the places of the parameters."""
    document = (await asked(port, "/api/openapi.json", authorization=f"Bearer {ADMIN}")).json
    return [
        (METHODS[method], "/api" + re.sub(r"\{\w+\}", "x", path))
        for path, item in document["paths"].items()
        for method in item
    ]


async def ask_each(port: int | None, token: str | None, **headers: str) -> dict[tuple[str, str], Answer]:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if token is not None:
        given["authorization"] = f"Bearer {token}"
    assert port is not None
    known = await routes_of(port)
    answers = [await asyncio.to_thread(ask, port, path, method, given) for method, path in known]
    return dict(zip(known, answers, strict=True))


async def test_the_document_has_every_route_there_is(service: WorkerService) -> None:
    document = (await asked(service.http_port, "/api/openapi.json", authorization=f"Bearer {ADMIN}")).json
    described = {(METHODS[method], path) for path, item in document["paths"].items() for method in item}
    looks: list[Any] = [*routes.look.routes, *job_routes.look.routes, *setting_routes.look.routes]
    looks += [*scheduler_routes.look.routes, *alert_routes.look.routes, *worker_routes.look.routes]
    acts: list[Any] = [*routes.act.routes, *job_routes.act.routes, *setting_routes.act.routes]
    acts += [*scheduler_routes.act.routes, *alert_routes.act.routes, *worker_routes.act.routes]
    assert described == {(method, route.path) for route in looks + acts for method in route.methods}
    assert document["openapi"].startswith("3.1")
    assert {route.path for route in looks if route.methods != {"GET"}} == set()
    assert [route.path for route in acts if "GET" in route.methods] == []


async def test_without_a_token_nothing_is_revealed(service: WorkerService) -> None:
    for route, answer in (await ask_each(service.http_port, None, x_auth_worker="1")).items():
        assert answer.status == 401, route
        assert answer.json["reasons"], route
    assert (await asked(service.http_port, "/api/openapi.json")).status == 401


async def test_a_reader_may_look_at_all_and_change_nothing(service: WorkerService) -> None:
    for (method, path), answer in (await ask_each(service.http_port, READER, x_auth_worker="1")).items():
        if method == "GET":
            assert answer.status in (200, 404, 422), path
        else:
            assert answer.status == 403, path
            assert "'reader' may read only" in answer.reasons


async def test_an_admin_may_do_all_but_only_with_the_header_of_a_program(service: WorkerService) -> None:
    for (method, path), answer in (await ask_each(service.http_port, ADMIN)).items():
        assert (answer.status == 403) == (method != "GET"), path
        assert method == "GET" or GUARDED in answer.reasons
    for (method, path), answer in (await ask_each(service.http_port, ADMIN, x_auth_worker="1")).items():
        assert answer.status not in (401, 403, 405, 500), (method, path)


async def test_a_form_of_another_site_changes_nothing_on_an_unguarded_port(harness: Harness) -> None:
    service = service_at(harness.url, http_token=None, http_read_token=None)
    async with service:
        assert service.http_port is not None
        form = {"content-type": "text/plain", "origin": "https://evil.example"}
        for path in ("/api/v1/service/pause", "/api/v1/operations"):
            refused = await asyncio.to_thread(ask, service.http_port, path, "POST", form, b"{}")
            assert (refused.status, GUARDED in refused.reasons) == (403, True)
        preflight = await asked(
            service.http_port,
            "/api/v1/service/pause",
            "OPTIONS",
            origin="https://evil.example",
            access_control_request_method="POST",
            access_control_request_headers="x-auth-worker",
        )
        assert preflight.status == 405
        assert not [name for name in preflight.headers if name.startswith("access-control")]
        api = Api(service.http_port)
        assert (await api.post("/service/pause")).status == 200
        assert (await api.get("/service")).json["processors"][0]["isPaused"] is True


async def test_named_tokens_have_their_role(harness: Harness) -> None:
    tokens = {"ops": {"token": "of ops"}, "grafana": {"token": "of grafana", "role": "reader"}}
    service = service_at(harness.url, http_token=None, http_read_token=None, http_tokens=tokens)
    async with service:
        assert (await Api(service.http_port, "of ops").post("/service/pause")).status == 200
        refused = await Api(service.http_port, "of grafana").post("/service/pause")
        assert (refused.status, "'grafana'" in refused.reasons) == (403, True)
        assert (await Api(service.http_port, "of nobody").get("/service")).status == 401


async def test_who_tries_tokens_has_to_wait_and_a_right_one_is_always_heard(
    service: WorkerService, monkeypatch: pytest.MonkeyPatch
) -> None:
    problems = collect(service.runtime.bus, Problem)
    for _ in range(10):
        assert (await asked(service.http_port, "/health")).status == 401, "no token is no attempt"
    for number in range(10):
        answer = await asked(service.http_port, "/health", authorization=f"Bearer {number}")
        assert answer.status == 401
    answer = await asked(service.http_port, "/api/v1/queues", authorization="Bearer guess")
    assert answer.status == 429
    assert 0 < int(answer.headers["retry-after"]) <= 60
    right = await asked(service.http_port, "/api/v1/queues", authorization=f"Bearer {ADMIN}")
    assert right.status == 200, "a right token is always heard"
    assert (await asked(service.http_port, "/readyz")).status == 200, "probes bear no token"
    told = [problem for problem in problems if problem.message == WORKER_ERRORS.HTTP_LOGIN_FAILED]
    assert len(told) == 10
    assert "127.0.0.1" in told[0].detail
    monkeypatch.setattr("auth_worker.http.login_limiter.WINDOW_S", 0.0)
    assert (await asked(service.http_port, "/health", authorization="Bearer guess")).status == 401
