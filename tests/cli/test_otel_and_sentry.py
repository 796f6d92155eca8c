"""What the environment asks ``auth-worker run`` for: traces and metrics over OTLP, failures to Sentry."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import redis
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from auth_worker.cli.otel_and_sentry import set_up_otel_and_sentry
from auth_worker.config import Settings
from support.command_line import Worker, run_program
from support.polling import wait_until

StartWorker = Callable[..., Worker]
TRACE = "0af7651916cd43dd8448eb211c80319c"
CARRIER = json.dumps({"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"})
SERVICE = """
from auth_worker import WorkerService
service = WorkerService()
@service.processor("work")
async def consume(job):
    raise ConnectionError("no route for token=" + job.data["code"])
"""


class Collector:
    """An HTTP server that takes everything."""

    def __init__(self) -> None:
        bodies: list[tuple[str, bytes]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                zipped = self.headers.get("Content-Encoding") == "gzip"
                bodies.append((self.path, gzip.decompress(body) if zipped else body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                """Say nothing."""

        self._bodies = bodies
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def got(self, path: str) -> list[bytes]:
        """The bodies sent to ``path``."""
        return [body for where, body in self._bodies if where == path]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Where traces, metrics and errors are sent to."""
    running = Collector()
    yield running
    running.close()


def fail_one(folder: Path, worker: StartWorker, redis_url: str) -> int:
    """A worker on which one job fails, run to its end; gives its exit code."""
    (folder / "failing.py").write_text(SERVICE)
    running = worker("failing:service", "--redis", redis_url)
    options = ("--attempts", 1, "--telemetry-metadata", CARRIER, "--redis", redis_url)
    added = run_program(folder, "add", "work", "job", "--data", '{"code": "hunter2-hunter2"}', *options)
    assert added.returncode == 0, added.stderr
    with redis.Redis.from_url(redis_url) as client:
        wait_until(lambda: client.zcard("bull:work:failed") == 1, "the job did not fail")
    return running.end()


def test_an_otlp_endpoint_in_the_environment_gets_the_traces_and_metrics(
    folder: Path, worker: StartWorker, redis_url: str, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://{collector.address}")
    assert fail_one(folder, worker, redis_url) == 0
    requests = [ExportTraceServiceRequest.FromString(body) for body in collector.got("/v1/traces")]
    resources = [resource for request in requests for resource in request.resource_spans]
    (span,) = [span for each in resources for scope in each.scope_spans for span in scope.spans]
    assert (span.name, span.trace_id.hex(), span.parent_span_id.hex()) == (
        "process work",
        TRACE,
        "b7ad6b7169203331",
    )
    names = {each.key: each.value.string_value for each in resources[0].resource.attributes}
    assert names["service.name"] == "auth-worker"
    measured = [ExportMetricsServiceRequest.FromString(body) for body in collector.got("/v1/metrics")]
    metrics = [
        metric.name
        for each in measured
        for r in each.resource_metrics
        for s in r.scope_metrics
        for metric in s.metrics
    ]
    assert {"auth_worker.jobs", "messaging.process.duration"} <= set(metrics)


def test_a_sentry_project_in_the_environment_gets_the_failure(
    folder: Path, worker: StartWorker, redis_url: str, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTRY_DSN", f"http://key@{collector.address}/7")
    assert fail_one(folder, worker, redis_url) == 0
    lines = [
        line for body in collector.got("/api/7/envelope/") for line in body.splitlines() if b"exception" in line
    ]
    (event,) = [json.loads(line) for line in lines]
    assert event["exception"]["values"][-1]["value"] == "no route for token=***"
    assert event["tags"]["queue"] == "work"
    assert b"hunter2" not in b"".join(lines)


@pytest.mark.parametrize(
    ("variable", "module", "extra"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "opentelemetry.sdk.metrics", "otel"),
        ("SENTRY_DSN", "sentry_sdk", "sentry"),
    ],
)
def test_what_is_asked_for_and_not_installed_is_reported(
    variable: str,
    module: str,
    extra: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(variable, "http://key@127.0.0.1:1/1")
    monkeypatch.setitem(__import__("sys").modules, module, None)
    set_up_otel_and_sentry(Settings())
    wait_until(lambda: f"auth-worker[{extra}]" in capfd.readouterr().err, "nothing was said")


@pytest.mark.parametrize(
    "values", [{"telemetry": False, "sentry": "off"}, {}], ids=["switched off", "not asked for"]
)
def test_nothing_is_set_up_unasked(values: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    if values:
        monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
        monkeypatch.setenv("SENTRY_DSN", "http://key@127.0.0.1:1/1")
    for name in ("set_up_sdk", "set_up_sentry"):
        monkeypatch.setattr(f"auth_worker.cli.otel_and_sentry.{name}", lambda: pytest.fail("it was set up"))
    set_up_otel_and_sentry(Settings(**values))
