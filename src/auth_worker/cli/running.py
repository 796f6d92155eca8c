"""``auth-worker health`` and ``metrics``: ask a running service over its HTTP port."""

from __future__ import annotations

import json
import sys
from http.client import HTTPException
from typing import Annotated, Any, NamedTuple

import typer
from prometheus_client.parser import text_string_to_metric_families

from auth_worker.admin.identity import read_identity
from auth_worker.cli import flags, operator
from auth_worker.cli.console import CLEAN, FAILED, USAGE, fail, text
from auth_worker.cli.listing import Column, Listing, Wide
from auth_worker.cli.services import Service, ask, find_service
from auth_worker.cli.tables import console, count, duration, notes
from auth_worker.redaction import redact
from auth_worker.terminal_text import visible_lines

PATIENCE_S = 5.0
PROCESSOR_COLUMNS = (
    Column("QUEUE", least=16, middle=True),
    Column("STATE"),
    Column("DONE", 1, right=True),
    Column("FAILED", 1, right=True),
    Column("ACTIVE", 2, right=True),
    Column("AVERAGE", 3, right=True),
    Column("WHY", least=20),
)
METRIC_COLUMNS = (
    Column("METRIC", least=20, middle=True),
    Column("OF", least=20, middle=True),
    Column("VALUE", right=True),
)

Url = Annotated[
    str | None,
    typer.Option(
        metavar="URL", help="The service (as configured, or else on ports 9464 to 9473 here).", show_default=False
    ),
]
Patience = Annotated[
    int | None,
    typer.Option(
        "--timeout", metavar="TIME", help="How long to wait (5s).", parser=operator.duration_ms, show_default=False
    ),
]


def health(
    context: typer.Context,
    url: Url = None,
    live: Annotated[bool, typer.Option("--live", help="Only: does it still turn?")] = False,
    ready: Annotated[bool, typer.Option("--ready", help="Only: may it be given work?")] = False,
    wide: Wide = False,
    as_json: operator.AsJson = False,
    timeout: Patience = None,
    config: flags.Config = None,
) -> None:
    """Ask a running service how it is: also as a probe, for images without curl.

    Without --url, the ports of the settings are tried; of several services that with the name or state directory
    of the settings is asked. Its token is read from AUTH_WORKER_HTTP_TOKEN, and sent to no other program.

    Exit codes: 0 healthy, 1 the answer makes no sense, 2 usage, 3 unhealthy, or no service answers.

    Example: [bold]auth-worker health --ready[/]
    """
    if live and ready:
        fail("--live or --ready: not both", USAGE)
    path = "/livez" if live else "/readyz" if ready else "/health"
    answer = _ask(context.params, path)
    report = _json_of(answer)
    if as_json:
        identity = answer.service.identity
        about = {"name": identity.name, "pid": identity.pid, "stateDir": identity.state_dir}
        operator.print_json([{**report, "service": {"url": redact(answer.service.base), **about}}])
    else:
        _show_health(report, answer.service, wide=wide)
    raise typer.Exit(CLEAN if answer.status == 200 else operator.UNHEALTHY)


def metrics(
    context: typer.Context,
    url: Url = None,
    raw: Annotated[bool, typer.Option("--raw", help="As Prometheus gets them.")] = False,
    wide: Wide = False,
    as_json: operator.AsJson = False,
    timeout: Patience = None,
    config: flags.Config = None,
) -> None:
    """Show what a running service has done, and how its queues stand.

    Its token is read from AUTH_WORKER_HTTP_TOKEN.

    Exit codes: 0 ok, 1 the answer makes no sense, 2 usage, 3 no service answers.

    Example: [bold]auth-worker metrics --url http://10.0.0.7:9464[/]
    """
    answer = _ask(context.params, "/metrics")
    notes().print(f"[dim]{text(answer.service)}[/]")
    if answer.status != 200:
        fail(f"the service answers {answer.status} to /metrics", FAILED)
    page = answer.body.decode(errors="replace")
    if raw:
        typer.echo(visible_lines(page) if sys.stdout.isatty() else page, nl=False)
        return
    samples = _samples(page)
    if as_json:
        operator.print_json({"name": name, "labels": labels, "value": value} for name, labels, value in samples)
    else:
        _show_metrics(samples, wide=wide)


class Reply(NamedTuple):
    """What a service said."""

    service: Service
    status: int
    body: bytes


def _ask(parameters: dict[str, Any], path: str) -> Reply:
    """The service's answer; exits where there is none."""
    settings = flags.settings_of(parameters)
    given = parameters.get("timeout")
    patience = given / 1000 if given else PATIENCE_S
    service = find_service(settings, parameters.get("url"), patience)
    token = settings.http_token or settings.http_read_token or settings.http_metrics_token
    try:
        status, headers, body = ask(service.base, path, patience, token.get_secret_value() if token else None)
    except (OSError, ValueError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        fail(f"{service} has given no answer: {redact(str(reason))}", operator.UNHEALTHY)
    if read_identity(headers) is None:
        fail(f"what answers at {redact(service.base)} is not auth-worker", operator.UNHEALTHY)
    if status == 401:
        fail(f"{service} wants a token: set AUTH_WORKER_HTTP_TOKEN to the one of the service")
    return Reply(service, status, body)


def _json_of(answer: Reply) -> dict[str, Any]:
    try:
        report = json.loads(answer.body)
    except ValueError:
        report = None
    if not isinstance(report, dict) or "healthy" not in report:
        fail(f"what answers ({answer.status}) is no auth-worker: {answer.body[:80]!r}")
    return report


def _show_health(report: dict[str, Any], service: Service, *, wide: bool) -> None:
    screen = console()
    screen.print("[green]healthy[/]" if report["healthy"] else "[bold red]not healthy[/]")
    screen.print(f"[dim]{text(service)}[/]")
    for reason in report.get("reasons") or ():
        screen.print(f"  {text(reason)}")
    processors = report.get("processors")
    if processors:
        shown = Listing(*PROCESSOR_COLUMNS)
        for processor in processors:
            done = processor.get("metrics", {})
            shown.add(
                text(processor.get("queueName")),
                _state_of(processor),
                count(done.get("completed")),
                count(done.get("failed"), "red"),
                count(done.get("active"), "blue"),
                duration(done.get("averageProcessingTime")),
                text("; ".join(processor.get("reasons") or ())),
            )
        shown.show(wide=wide)
    if report.get("database"):
        screen.print(f"database: {text(report['database'])}")


def _state_of(processor: dict[str, Any]) -> str:
    if processor.get("isPaused"):
        return "[yellow]paused[/]"
    if not processor.get("isRunning"):
        return "[red]stopped[/]"
    return "[green]run[/]" if processor.get("healthy") else "[red]unhealthy[/]"


def _samples(page: str) -> list[tuple[str, dict[str, str], float]]:
    try:
        families = list(text_string_to_metric_families(page))
    except ValueError as error:
        fail(f"what answers is no metrics of auth-worker: {error}")
    return [
        (sample.name, dict(sample.labels), sample.value)
        for family in families
        for sample in family.samples
        if sample.name.startswith("auth_worker_") and not sample.name.endswith(("_bucket", "_created"))
    ]


def _show_metrics(samples: list[tuple[str, dict[str, str], float]], *, wide: bool) -> None:
    if not samples:
        notes().print("The service has no metrics yet.")
        return
    shown = Listing(*METRIC_COLUMNS)
    for name, labels, value in sorted(samples, key=lambda sample: (sample[0], sorted(sample[1].items()))):
        of = " ".join(f"{key}={label}" for key, label in sorted(labels.items()))
        shown.add(text(name.removeprefix("auth_worker_")), text(of), f"{value:g}")
    shown.show(wide=wide)
