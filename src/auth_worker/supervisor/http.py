"""The parent's HTTP port: one for all processes. It asks each of them, and puts their answers together.

Who may ask what is for the processes to say: they get each request as it came, and a refusal is passed on.
Counters are each process's own, so that Prometheus sees which one began anew: every sample has the label
``process``. What is meant for the service itself (``/api/v1/service``) is told to all of them; whatever else it is
goes to the first process that runs.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from auth_worker.admin.api.door import read_body
from auth_worker.admin.server import QuietServer
from auth_worker.config import Settings
from auth_worker.supervisor.answers import Answer, as_response, ask, ask_all, reasons_of, refusal_of
from auth_worker.supervisor.processes import Supervisor

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
PLAIN = {"accept": "text/plain"}


async def serve(supervisor: Supervisor, settings: Settings, listener: socket.socket) -> None:
    """Answer on ``listener`` until cancelled."""
    await QuietServer(build_app(supervisor, settings)).serve(sockets=[listener])


class _Port:
    """What each path answers."""

    def __init__(self, supervisor: Supervisor, settings: Settings) -> None:
        self._supervisor = supervisor
        self._settings = settings

    async def live(self, request: Request) -> Response:
        """No process has come to a standstill. One that died or begins is no reason to restart the parent."""
        answers = await ask_all(self._supervisor.children, request)
        children = zip(self._supervisor.children, answers, strict=True)
        return _verdict(reasons_of([said for child, said in children if child.pid and child.has_answered]))

    async def ready(self, request: Request) -> Response:
        """All of them are."""
        stopping = ["the service is stopping"] if self._supervisor.stopping else []
        return _verdict(stopping + reasons_of(await ask_all(self._supervisor.children, request)))

    async def started(self, request: Request) -> Response:
        """All of them have."""
        return _verdict(reasons_of(await ask_all(self._supervisor.children, request)))

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


def build_app(supervisor: Supervisor, settings: Settings) -> Starlette:
    """The application that speaks for the children of ``supervisor``."""
    port = _Port(supervisor, settings)
    return Starlette(
        routes=[
            Route("/livez", port.live),
            Route("/readyz", port.ready),
            Route("/startupz", port.started),
            Route("/health", port.service),
            Route("/api/v1/service{path:path}", port.service, methods=METHODS),
            Route("/metrics", port.metrics),
            Route("/{path:path}", port.pass_on, methods=METHODS),
        ]
    )


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
                marked = [
                    sample._replace(labels={**sample.labels, "process": str(answer.number)})
                    for sample in family.samples
                ]
                known.samples = marked if known is family else known.samples + marked
        yield from families.values()
        running = sum(child.pid is not None for child in self._supervisor.children)
        yield GaugeMetricFamily("auth_worker_processes", "Service processes that run.", value=running)
        yield CounterMetricFamily(
            "auth_worker_process_restarts",
            "Processes that died and were started again.",
            self._supervisor.restarts,
        )
