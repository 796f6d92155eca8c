"""What ``/metrics`` shows beside the queues, and who may see it."""

from __future__ import annotations

import platform
from collections.abc import Iterator

from prometheus_client import REGISTRY, Counter
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from auth_worker import Settings, WorkerService
from auth_worker.version import __version__
from support.http_requests import asked, samples_of, scraped


def service_with(url: str, **settings: object) -> WorkerService:
    return WorkerService(url, settings=Settings(http_port=0, log_level="ERROR", **settings))


async def test_a_metrics_token_opens_the_metrics_and_nothing_else(redis_url: str) -> None:
    async with service_with(redis_url, http_token="of admin", http_metrics_token="of prometheus") as service:
        for path, status in {"/metrics": 200, "/livez": 200, "/health": 403, "/api/v1/queues": 403}.items():
            answer = await asked(service.http_port, path, authorization="Bearer of prometheus")
            assert answer.status == status, path
        refused = await asked(service.http_port, "/metrics", "POST", authorization="Bearer of prometheus")
        assert refused.status == 403


async def test_the_build_is_named(redis_url: str) -> None:
    async with service_with(redis_url) as service:
        (labels,) = (dict(of) for name, of in await scraped(service.http_port) if name == "auth_worker_build_info")
        assert (labels["version"], labels["python"]) == (__version__, platform.python_version())


async def test_the_applications_metrics_are_shown_on_request_and_once(redis_url: str) -> None:
    signups = Counter("test_signups", "Of the application.")
    signups.inc(3)
    try:
        async with service_with(redis_url) as service:
            assert ("test_signups_total", frozenset()) not in await scraped(service.http_port)
        async with service_with(redis_url, metrics_registry="application") as service:
            page = (await asked(service.http_port, "/metrics")).text
            assert samples_of(page)["test_signups_total", frozenset()] == 3
            declared = [line for line in page.splitlines() if line.startswith("# TYPE")]
            assert len(declared) == len(set(declared))
    finally:
        REGISTRY.unregister(signups)


async def test_a_collector_of_the_application_that_raises_costs_only_its_own_metrics(redis_url: str) -> None:
    class Broken(Collector):
        def describe(self) -> Iterator[Metric]:
            return iter(())

        def collect(self) -> Iterator[Metric]:
            raise LookupError("a secret")

    broken = Broken()
    REGISTRY.register(broken)
    try:
        async with service_with(redis_url, metrics_registry="application") as service:
            assert ("auth_worker_broker_up", frozenset()) in await scraped(service.http_port)
    finally:
        REGISTRY.unregister(broken)
