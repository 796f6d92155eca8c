"""The HTTP application: ``/livez /readyz /startupz /health /metrics``, ``/api``, and the dashboard.

All but ``/metrics`` and the dashboard respond in JSON with ``reasons``: 200 without any, 503 otherwise. It runs in
the port's loop; what needs Redis runs in the watch loop. No limit applies to the probes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial

from pydantic_core import to_json
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Mount, Route
from starlette.types import ASGIApp, Scope

from auth_worker.config import Settings
from auth_worker.core.error_text import error_text
from auth_worker.core.report import ServiceHealth
from auth_worker.events import Problem
from auth_worker.http.caching import SingleFlight, TimedCache
from auth_worker.http.dashboard.paths import is_dashboard_request
from auth_worker.http.gauges import Gauges
from auth_worker.http.guard import Guard
from auth_worker.http.host_guard import HostGuard
from auth_worker.http.metrics_page import MetricsPage, open_registry
from auth_worker.http.probes import Probes, probe_response
from auth_worker.http.refusals import internal_error, refuse
from auth_worker.http.service_view import ServiceView
from auth_worker.messages import WORKER_ERRORS
from auth_worker.observability.health import HealthObserver
from auth_worker.observability.metrics import MetricsObserver

HEALTH_TIMEOUT_S = 5.0
"""How long (s) the work loop may take for its report. The database may take 3 s of it."""
HEALTH_LIFETIME_S = 1.0
"""How long (s) a report is shown again before a new one is requested."""
BLOCKED_S = 1.0
"""How long (s) the work loop must have been blocked for its report not to be requested."""
READY_TIMEOUT_S = 0.75
GAUGES_TIMEOUT_S = 2.0
Reasons = Callable[[], list[str] | Awaitable[list[str]]]


def build_app(
    service: ServiceView,
    settings: Settings,
    work_loop: asyncio.AbstractEventLoop,
    api: ASGIApp,
    dashboard: ASGIApp,
) -> HostGuard:
    """Build the application of ``service``, whose health report is made in ``work_loop``."""
    broker_health, metrics = HealthObserver(), MetricsObserver()
    broker_health.attach(service.runtime.bus)
    metrics.attach(service.runtime.bus)
    probes = Probes(service, broker_health)
    ready = SingleFlight(partial(_ask_readiness, service, probes))
    health = TimedCache(partial(_ask_health, service, probes, work_loop), HEALTH_LIFETIME_S)
    gauges = Gauges(service)
    page = MetricsPage(open_registry(service, (metrics, gauges)), partial(_refresh, service, gauges))
    app = Starlette(
        routes=[
            *_probe("/livez", probes.live),
            *_probe("/readyz", ready.get),
            *_probe("/startupz", probes.started),
            Route("/health", partial(_show_health, health)),
            Route("/metrics", page.show),
            Route("/metrics/", page.show),
            Mount("/api", api),
            *([_AtRoot(dashboard)] if settings.dashboard else []),
        ],
        exception_handlers={HTTPException: refuse, Exception: partial(_fail, service)},
    )
    app.router.redirect_slashes = False
    return HostGuard(Guard(app, settings, service.runtime.bus), settings)


class _AtRoot(Mount):
    """Matches the dashboard's requests only, so that a program still gets a 404 in JSON for any other path."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__("/", app)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Part of Starlette."""
        return super().matches(scope) if is_dashboard_request(scope) else (Match.NONE, {})


def _probe(path: str, ask: Reasons) -> list[Route]:
    async def answer(request: Request) -> Response:
        reasons = ask()
        if not isinstance(reasons, list):
            reasons = await reasons
        return probe_response(reasons)

    return [Route(path, answer), Route(f"{path}/", answer)]


async def _show_health(health: TimedCache[ServiceHealth], request: Request) -> Response:
    report = await health.get()
    body = to_json(report.model_dump(by_alias=True), serialize_unknown=True, inf_nan_mode="null")
    return Response(body, 200 if report.healthy else 503, media_type="application/json")


async def _ask_health(service: ServiceView, probes: Probes, work_loop: asyncio.AbstractEventLoop) -> ServiceHealth:
    """Return the report of the work loop, or while that is blocked a report without it."""
    if not probes.stuck(BLOCKED_S):
        asked = asyncio.run_coroutine_threadsafe(service.get_health(), work_loop)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(asked), HEALTH_TIMEOUT_S)
        except TimeoutError:
            pass  # the work loop is blocked now
    reasons = probes.stuck(0) or ["the event loop is too busy to report"]
    # A processor's health is read from plain attributes, so it can be asked in this loop too.
    processors = [await processor.get_health() for processor in service.get_processors()]
    return ServiceHealth(healthy=False, processors=processors, reasons=reasons)


async def _ask_readiness(service: ServiceView, probes: Probes) -> list[str]:
    """Ask in the watch loop, which has the connections. While it is blocked, the process is not ready."""
    asked = service.runtime.watch_loop.call(probes.ready())
    try:
        return await asyncio.wait_for(asked, READY_TIMEOUT_S)
    except TimeoutError:
        return ["the watch loop does not answer"]


async def _refresh(service: ServiceView, gauges: Gauges) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(service.runtime.watch_loop.call(gauges.refresh()), GAUGES_TIMEOUT_S)


async def _fail(service: ServiceView, request: Request, error: Exception) -> Response:
    detail = f"{_route_of(request)}: {type(error).__name__}: {error_text(error)}"
    service.runtime.bus.emit(Problem(WORKER_ERRORS.HTTP_REQUEST_FAILED, "", detail))
    return internal_error()


def _route_of(request: Request) -> str:
    """Return the path as the routes have it, with ``{job_id}`` instead of an id, which may be anything."""
    mounted_at = request.scope.get("root_path", "")
    route = getattr(request.scope.get("route"), "path", "")
    return f"{mounted_at}{route}" or request.url.path
