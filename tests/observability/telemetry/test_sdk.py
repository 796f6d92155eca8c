"""The SDK is set up as the environment says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter

from auth_worker import ConfigurationError
from auth_worker.observability.telemetry.sdk import is_sdk_asked_for, set_up_sdk
from support.telemetry_capture import Traces

SetUp = Callable[[], tuple[TracerProvider, MeterProvider]]
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}


@pytest.fixture
def set_up(monkeypatch: pytest.MonkeyPatch) -> Iterator[SetUp]:
    """Set the SDK up, and return its providers, which are not installed globally and are closed without export."""
    made: list[Any] = []
    monkeypatch.setenv("OTEL_METRIC_EXPORT_TIMEOUT", "1")
    monkeypatch.setattr(trace, "set_tracer_provider", made.append)
    monkeypatch.setattr(metrics, "set_meter_provider", made.append)

    def run() -> tuple[TracerProvider, MeterProvider]:
        set_up_sdk()
        tracers, meters = made
        return tracers, meters

    yield run
    for provider in made:
        monkeypatch.setattr("opentelemetry.sdk.metrics.export.PeriodicExportingMetricReader.collect", _nothing)
        provider.shutdown()


def _nothing(*arguments: Any, **options: Any) -> None:
    """Collect nothing, so that nothing is exported."""


def exporters(provider: TracerProvider) -> list[type]:
    """Return the exporters of the provider's spans."""
    return [type(each.span_exporter) for each in provider._active_span_processor._span_processors]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        (ENDPOINT, [OTLPSpanExporter]),
        ({"OTEL_TRACES_EXPORTER": "console"}, [ConsoleSpanExporter]),
        ({"OTEL_TRACES_EXPORTER": "otlp, console"}, [OTLPSpanExporter, ConsoleSpanExporter]),
        ({**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"}, []),
        ({"OTEL_METRICS_EXPORTER": "console"}, []),
    ],
)
def test_the_exporters_are_chosen_by_the_environment(
    environment: dict[str, str], expected: list[type], set_up: SetUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert is_sdk_asked_for()
    tracers, _ = set_up()
    assert exporters(tracers) == expected


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({}, "auth-worker"),
        ({"OTEL_SERVICE_NAME": "mails"}, "mails"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=mails,team=login"}, "mails"),
    ],
)
def test_the_service_has_the_name_the_environment_gives_it(
    environment: dict[str, str], name: str, set_up: SetUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    tracers, _ = set_up()
    assert tracers.resource.attributes["service.name"] == name


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER wants zipkin"),
        ({**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_TRACES_EXPORTER wants otlp_proto_grpc"),
    ],
)
def test_an_exporter_that_is_not_installed_is_named(
    environment: dict[str, str], wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=f"{wanted}, which is not installed; there are: console, otlp"):
        set_up_sdk()


def test_the_sdk_is_not_asked_for_by_an_empty_environment() -> None:
    assert not is_sdk_asked_for()


def test_a_disabled_sdk_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "True")
    assert not is_sdk_asked_for()


def test_an_application_that_has_set_its_own_provider_is_left_alone(
    traces: Traces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    assert not is_sdk_asked_for()
