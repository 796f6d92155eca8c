"""``/metrics``: collects the samples and formats them for Prometheus."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Awaitable, Callable, Iterable, Iterator
from importlib.metadata import version

from prometheus_client import REGISTRY, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from auth_worker.events import Problem
from auth_worker.http.service_view import ServiceView
from auth_worker.messages import WORKER_ERRORS
from auth_worker.version import __version__

OPENMETRICS = "application/openmetrics-text"


class MetricsPage:
    """Formats ``registry`` for one request at a time, each time after ``refresh``. Belongs to one event loop."""

    def __init__(self, registry: CollectorRegistry, refresh: Callable[[], Awaitable[None]]) -> None:
        self._registry = registry
        self._refresh = refresh
        self._turn = asyncio.Lock()

    async def show(self, request: Request) -> Response:
        """Return Prometheus's text format, or OpenMetrics if the client accepts it."""
        await self._refresh()
        wanted = OPENMETRICS in request.headers.get("accept", "")
        async with self._turn:
            # Hundreds of queues take tenths of a second to write; probes must not wait for it.
            body = await asyncio.to_thread(_as_openmetrics if wanted else generate_latest, self._registry)
        kind = openmetrics.CONTENT_TYPE_LATEST if wanted else CONTENT_TYPE_PLAIN_0_0_4
        return Response(body, headers={"content-type": kind})


class BuildInfo(Collector):
    """Collects the versions of this package, Python and bullmq."""

    def collect(self) -> Iterator[Metric]:
        """Return one gauge, which is always 1."""
        info = GaugeMetricFamily(
            "auth_worker_build_info",
            "The versions of the software; always 1.",
            labels=("version", "python", "bullmq"),
        )
        info.add_metric((__version__, platform.python_version(), version("bullmq")), 1)
        yield info


class ApplicationMetrics(Collector):
    """Collects what the application has registered with prometheus_client, except for names in ``taken``.

    If one of its collectors raises, ``on_error`` is called, and the page shows none of them.
    """

    def __init__(self, taken: CollectorRegistry, on_error: Callable[[Exception], None]) -> None:
        self._taken = taken
        self._on_error = on_error

    def describe(self) -> Iterable[Metric]:
        """Return nothing: what the application registers later is shown too."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Return the application's metric families."""
        names = {family.name for family in self._taken.collect()}
        try:
            found = list(REGISTRY.collect())
        except Exception as error:
            self._on_error(error)
            return
        for family in found:
            if family.name not in names:
                names.add(family.name)
                yield family


def open_registry(service: ServiceView, collectors: Iterable[Collector]) -> CollectorRegistry:
    """Return the registry of ``/metrics``: ours, with the application's default one if the settings say so."""
    own = CollectorRegistry()
    for collector in (*collectors, BuildInfo()):
        own.register(collector)
    ProcessCollector(registry=own)
    if service.settings.metrics_registry == "own":
        return own

    def report(error: Exception) -> None:
        detail = f"/metrics: a collector of the application raised {type(error).__name__}"
        service.runtime.bus.emit(Problem(WORKER_ERRORS.HTTP_REQUEST_FAILED, "", detail))

    both = CollectorRegistry()
    both.register(own)
    both.register(ApplicationMetrics(own, report))
    return both


def _as_openmetrics(registry: CollectorRegistry) -> bytes:
    written: bytes = openmetrics.generate_latest(registry, version="1.0.0")  # type: ignore[no-untyped-call]
    return written
