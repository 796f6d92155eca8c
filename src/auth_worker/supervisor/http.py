"""The parent's HTTP port, one for all service processes: it asks each of them and combines their responses.

The processes authorize requests: they get each one as it came, and a refusal is passed back. A body is read only
once a process requests it, and is streamed. Every sample of ``/metrics`` has the label ``process``, so that
Prometheus sees which process's counters were reset. Requests about the service itself (``/api/v1/service``) go to
all processes, any others to the first one that runs.
"""

from __future__ import annotations

import asyncio
import socket
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from auth_worker.config import Settings
from auth_worker.http.caching import SingleFlight
from auth_worker.http.host_guard import HostGuard
from auth_worker.http.probes import probe_response
from auth_worker.http.refusals import internal_error, refuse
from auth_worker.http.server import DESCRIPTOR_REMEDY, QuietServer, run_apart
from auth_worker.messages import WORKER_ERRORS
from auth_worker.supervisor.fan_out import Answer, FanOut, reasons_of, refusal_of
from auth_worker.supervisor.supervisor import Supervisor

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
PLAIN = {"accept": "text/plain"}


async def serve(supervisor: Supervisor, settings: Settings, listener: socket.socket, log: Any) -> None:
    """Serve on ``listener`` until cancelled, in a thread of its own."""

    def report(error: Exception) -> None:
        log.error(WORKER_ERRORS.HTTP_REQUEST_FAILED, error_type=type(error).__name__)

    def report_exhausted() -> None:
        log.warning(WORKER_ERRORS.HTTP_DESCRIPTORS_EXHAUSTED, error=DESCRIPTOR_REMEDY)

    async def run() -> None:
        is_local = listener.family == socket.AF_UNIX
        app = build_app(supervisor, settings, report)
        await QuietServer(app, report_exhausted, believes_forwarded=is_local).serve(sockets=[listener])

    await run_apart(run, report)


class _Port:
    """The endpoints."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._fan_out = FanOut(supervisor.children)
        self._probes: defaultdict[str, SingleFlight[..., list[Answer]]]
        self._probes = defaultdict(lambda: SingleFlight(self._fan_out.ask_all))

    async def live(self, request: Request) -> Response:
        """Succeed unless a process is stuck. One that died or is starting is no reason to restart the parent."""
        answers = await self._probe(request)
        children = zip(self._supervisor.children, answers, strict=True)
        return probe_response(reasons_of([said for child, said in children if child.pid and child.has_answered]))

    async def ready(self, request: Request) -> Response:
        """Succeed if all processes are ready."""
        stopping = ["the service is stopping"] if self._supervisor.stopping else []
        return probe_response(stopping + reasons_of(await self._probe(request)))

    async def started(self, request: Request) -> Response:
        """Succeed if all processes have started."""
        return probe_response(reasons_of(await self._probe(request)))

    async def _probe(self, request: Request) -> list[Answer]:
        """Share one response among simultaneous requests, so that many wait no longer than one."""
        return await self._probes[request.scope["path"]].get(request)

    async def service(self, request: Request) -> Response:
        """Ask every process. In the report, the processors have the numbers of their processes."""
        answers = await self._fan_out.ask_all(request)
        if (refused := refusal_of(answers)) is not None:
            return refused
        reports = [(answer.number, answer.json) for answer in answers]
        reasons = reasons_of(answers)
        databases = [report["database"] for _, report in reports if report.get("database")]
        together = {
            "healthy": not reasons,
            "processors": [
                {**processor, "process": number}
                for number, report in reports
                for processor in report.get("processors", ())
            ],
            "database": min(databases, key=lambda database: bool(database.get("healthy")), default=None),
            "reasons": reasons,
        }
        return JSONResponse(together, 503 if reasons else 200)

    async def metrics(self, request: Request) -> Response:
        """Return the samples of all processes, each with the number of its process."""
        answers = await self._fan_out.ask_all(request, PLAIN)
        if (refused := refusal_of(answers)) is not None:
            return refused
        registry = CollectorRegistry()
        registry.register(_Families(self._supervisor, answers))
        body = await asyncio.to_thread(generate_latest, registry)
        return Response(body, headers={"content-type": CONTENT_TYPE_PLAIN_0_0_4})

    async def pass_on(self, request: Request) -> Response:
        """Pass on any other request."""
        return await self._fan_out.pass_on(request)


def build_app(supervisor: Supervisor, settings: Settings, on_error: Callable[[Exception], None]) -> HostGuard:
    """Build the application that answers for the children of ``supervisor``."""
    port = _Port(supervisor)

    async def fail(request: Request, error: Exception) -> Response:
        on_error(error)
        return internal_error()

    probes = {"/livez": port.live, "/readyz": port.ready, "/startupz": port.started}
    app = Starlette(
        routes=[
            *(Route(f"{path}{end}", answer) for path, answer in probes.items() for end in ("", "/")),
            Route("/health", port.service),
            Route("/api/v1/service{path:path}", port.service, methods=METHODS),
            Route("/metrics", port.metrics),
            Route("/metrics/", port.metrics),
            Route("/{path:path}", port.pass_on, methods=METHODS),
        ],
        exception_handlers={HTTPException: refuse, Exception: fail},
    )
    return HostGuard(app, settings)


class _Families:
    """Collects the samples of the processes, with the label ``process``, and how many processes run."""

    def __init__(self, supervisor: Supervisor, answers: Sequence[Answer]) -> None:
        self._supervisor = supervisor
        self._answers = answers

    def collect(self) -> Iterable[Metric]:
        """Part of prometheus_client."""
        families: dict[str, Metric] = {}
        for answer in self._answers:
            if answer.status != 200:
                continue
            for family in text_string_to_metric_families(answer.body.decode()):
                known = families.setdefault(family.name, family)
                marked = [_marked(sample, answer.number) for sample in family.samples]
                known.samples = marked if known is family else known.samples + marked
        yield from families.values()
        running = sum(child.pid is not None for child in self._supervisor.children)
        yield GaugeMetricFamily("auth_worker_processes", "Service processes that run.", value=running)
        yield CounterMetricFamily(
            "auth_worker_process_restarts",
            "Processes that died and were started again.",
            self._supervisor.restarts,
        )


def _marked(sample: Sample, number: int) -> Sample:
    """Rename a label ``process`` of the application's own, as Prometheus itself would do."""
    theirs = {"exported_process" if name == "process" else name: value for name, value in sample.labels.items()}
    return sample._replace(labels={**theirs, "process": str(number)})
