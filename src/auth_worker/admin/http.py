"""The HTTP application: ``/livez /readyz /startupz /health /metrics``, and ``/api`` behind its door.

Each answer but that of ``/metrics`` is JSON with ``reasons``: 200 where there are none, 503 otherwise. Everything
here runs in the loop of the port; what must ask Redis is asked in the watch loop.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from pydantic_core import to_json
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from auth_worker.admin.access import Guard
from auth_worker.admin.gauges import Gauges
from auth_worker.admin.hosts import HostGuard, refusal
from auth_worker.admin.metrics_page import MetricsPage, open_registry
from auth_worker.admin.probes import Probes
from auth_worker.admin.subject import Remembered, Shared, Subject
from auth_worker.events import Problem
from auth_worker.messages import WORKER_ERRORS
from auth_worker.observers.health import HealthObserver
from auth_worker.observers.metrics import MetricsObserver
from auth_worker.report import ServiceHealth

HEALTH_TIMEOUT_S = 5.0
"""How long the work loop has for its report; the database has 3 s of it."""
HEALTH_LIFETIME_S = 1.0
BLOCKED_S = 1.0
"""After how long a work loop that stands still is not asked for a report."""
READY_TIMEOUT_S = 0.75
GAUGES_TIMEOUT_S = 2.0
Reasons = Callable[[], list[str] | Awaitable[list[str]]]


def build_app(subject: Subject, work_loop: asyncio.AbstractEventLoop, api: ASGIApp) -> HostGuard:
    """The application that shows ``subject``, whose reports are asked for in ``work_loop``."""
    broker_health, metrics = HealthObserver(), MetricsObserver()
    broker_health.attach(subject.runtime.bus)
    metrics.attach(subject.runtime.bus)
    probes = Probes(subject, broker_health)
    ready = Shared(partial(_ask_readiness, subject, probes))
    health = Remembered(partial(_ask_health, subject, probes, work_loop), HEALTH_LIFETIME_S)
    gauges = Gauges(subject)
    page = MetricsPage(open_registry(subject, (metrics, gauges)), partial(_refresh, subject, gauges))
    app = Starlette(
        routes=[
            *_probe("/livez", probes.live),
            *_probe("/readyz", ready.get),
            *_probe("/startupz", probes.started),
            Route("/health", partial(_show_health, health)),
            Route("/metrics", page.show),
            Route("/metrics/", page.show),
            Mount("/api", api),
        ],
        exception_handlers={HTTPException: refuse, Exception: partial(_fail, subject)},
    )
    app.router.redirect_slashes = False
    return HostGuard(Guard(app, subject.settings, subject.runtime.bus), subject.settings)


def _probe(path: str, ask: Reasons) -> list[Route]:
    async def answer(request: Request) -> Response:
        reasons = ask()
        if not isinstance(reasons, list):
            reasons = await reasons
        return JSONResponse({"healthy": not reasons, "reasons": reasons}, 503 if reasons else 200)

    return [Route(path, answer), Route(f"{path}/", answer)]


async def _show_health(health: Remembered[ServiceHealth], request: Request) -> Response:
    report = await health.get()
    body = to_json(report.model_dump(by_alias=True), serialize_unknown=True, inf_nan_mode="null")
    return Response(body, 200 if report.healthy else 503, media_type="application/json")


async def _ask_health(subject: Subject, probes: Probes, work_loop: asyncio.AbstractEventLoop) -> ServiceHealth:
    """The report of the work loop; where that stands still, what can be told without it."""
    if not probes.stuck(BLOCKED_S):
        asked = asyncio.run_coroutine_threadsafe(subject.get_health(), work_loop)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(asked), HEALTH_TIMEOUT_S)
        except TimeoutError:
            """It stands still now."""
    reasons = probes.stuck(0) or ["the event loop is too busy to report"]
    # A processor's health is read from plain attributes, so it can be asked in this loop too.
    processors = [await processor.get_health() for processor in subject.get_processors()]
    return ServiceHealth(healthy=False, processors=processors, reasons=reasons)


async def _ask_readiness(subject: Subject, probes: Probes) -> list[str]:
    """Asked in the watch loop, which has the connections; where that stands still, the process is not ready."""
    asked = subject.runtime.watch.call(probes.ready())
    try:
        return await asyncio.wait_for(asked, READY_TIMEOUT_S)
    except TimeoutError:
        return ["the thread that keeps the leases does not answer"]


async def _refresh(subject: Subject, gauges: Gauges) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(subject.runtime.watch.call(gauges.refresh()), GAUGES_TIMEOUT_S)


async def refuse(request: Request, error: Exception) -> Response:
    """Answer an ``HTTPException`` of the framework as JSON with reasons."""
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for nothing else
    return refusal(error.status_code, error.detail, dict(error.headers or {}))


async def _fail(subject: Subject, request: Request, error: Exception) -> Response:
    detail: Any = f"{request.url.path}: {error!r}"
    subject.runtime.bus.emit(Problem(WORKER_ERRORS.HTTP_REQUEST_FAILED, "", detail))
    return refusal(500, "this went wrong on our side; the log says why")
