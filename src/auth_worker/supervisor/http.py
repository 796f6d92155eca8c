"""The parent's HTTP port: one for all processes. It asks each of them, and puts their answers together.

Who may ask what is for the processes to say: they get each request as it came, and a refusal is passed on.
Counters are each process's own, so that Prometheus sees which one began anew: every sample has the label
``process``. What is meant for the service itself (``/api/v1/service``) is told to all of them; whatever else it is
goes to the first process that runs.
"""

from __future__ import annotations

import asyncio
import socket
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

from auth_worker.admin.api.door import read_body
from auth_worker.admin.hosts import HostGuard, refusal
from auth_worker.admin.http import refuse
from auth_worker.admin.server import DESCRIPTOR_REMEDY, QuietServer, run_apart
from auth_worker.config import Settings
from auth_worker.messages import WORKER_ERRORS
from auth_worker.supervisor.answers import Answer, as_response, ask, ask_all, reasons_of, refusal_of
from auth_worker.supervisor.processes import Supervisor

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
PLAIN = {"accept": "text/plain"}


async def serve(supervisor: Supervisor, settings: Settings, listener: socket.socket, log: Any) -> None:
    """Answer on ``listener`` until cancelled, in a thread of its own."""

    def report(error: Exception) -> None:
        log.error(WORKER_ERRORS.HTTP_REQUEST_FAILED, error_type=type(error).__name__)

    def report_exhausted() -> None:
        log.warning(WORKER_ERRORS.HTTP_DESCRIPTORS_EXHAUSTED, error=DESCRIPTOR_REMEDY)

    async def run() -> None:
        await QuietServer(build_app(supervisor, settings, report), report_exhausted).serve(sockets=[listener])

    await run_apart(run, report)


class _Port:
    """What each path answers."""

    def __init__(self, supervisor: Supervisor, settings: Settings) -> None:
        self._supervisor = supervisor
        self._settings = settings
        self._probes: dict[str, asyncio.Task[list[Answer]]] = {}

    async def live(self, request: Request) -> Response:
        """No process has come to a standstill. One that died or begins is no reason to restart the parent."""
        answers = await self._probe(request)
        children = zip(self._supervisor.children, answers, strict=True)
        return _verdict(reasons_of([said for child, said in children if child.pid and child.has_answered]))

    async def ready(self, request: Request) -> Response:
        """All of them are."""
        stopping = ["the service is stopping"] if self._supervisor.stopping else []
        return _verdict(stopping + reasons_of(await self._probe(request)))

    async def started(self, request: Request) -> Response:
        """All of them have."""
        return _verdict(reasons_of(await self._probe(request)))

    async def _probe(self, request: Request) -> list[Answer]:
        """Those who ask at the same time share one answer, so that many of them wait no longer than one."""
        path = request.scope["path"]
        task = self._probes.get(path)
        if task is None or task.done():
            task = self._probes[path] = asyncio.create_task(ask_all(self._supervisor.children, request))
        return await asyncio.shield(task)

    async def service(self, request: Request) -> Response:
        """Each of them is told; what they say together, their processors with the number of their process."""
        body = await read_body(request.receive, self._settings)
        if isinstance(body, Response):
            return body
        answers = await ask_all(self._supervisor.children, request, body=body)
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
        """Their samples, each with the number of its process."""
        answers = await ask_all(self._supervisor.children, request, PLAIN)
        if (refused := refusal_of(answers)) is not None:
            return refused
        registry = CollectorRegistry()
        registry.register(_Families(self._supervisor, answers))
        body = await asyncio.to_thread(generate_latest, registry)
        return Response(body, headers={"content-type": CONTENT_TYPE_PLAIN_0_0_4})

    async def pass_on(self, request: Request) -> Response:
        """Whatever else it is."""
        children = self._supervisor.children
        child = next((child for child in children if child.pid), children[0])
        body = await read_body(request.receive, self._settings)
        return body if isinstance(body, Response) else as_response(await ask(child, request, body=body))


def build_app(supervisor: Supervisor, settings: Settings, on_error: Callable[[Exception], None]) -> HostGuard:
    """The application that speaks for the children of ``supervisor``."""
    port = _Port(supervisor, settings)

    async def fail(request: Request, error: Exception) -> Response:
        on_error(error)
        return refusal(500, "this went wrong on our side; the log says why")

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


def _verdict(reasons: list[str]) -> Response:
    return JSONResponse({"healthy": not reasons, "reasons": reasons}, 503 if reasons else 200)


class _Families:
    """A collector of what the processes told, each sample with the label ``process``, and of how they are."""

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
    """A label of the application's with our name gets another, as Prometheus itself would do."""
    theirs = {"exported_process" if name == "process" else name: value for name, value in sample.labels.items()}
    return sample._replace(labels={**theirs, "process": str(number)})
