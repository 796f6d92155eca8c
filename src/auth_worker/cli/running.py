"""``auth-worker health`` and ``metrics``: ask a running service over its HTTP port."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

import typer
from prometheus_client.parser import text_string_to_metric_families

from auth_worker.cli import flags, operator
from auth_worker.cli.console import CLEAN, FAILED, USAGE, fail, text
from auth_worker.cli.tables import console, count, duration, notes, table
from auth_worker.config import Settings
from auth_worker.redaction import redact
from auth_worker.terminal_text import visible_lines

PATIENCE_S = 5.0
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}  # noqa: S104 - asked, not bound

Url = Annotated[
    str | None,
    typer.Option(metavar="URL", help="The service (http://127.0.0.1:9464, or as configured).", show_default=False),
]
Patience = Annotated[
    int | None,
    typer.Option(
        "--timeout", metavar="TIME", help="How long to wait (5s).", parser=operator.duration_ms, show_default=False
    ),
]


class Answer(NamedTuple):
    """What the service said."""

    status: int
    body: bytes


def health(
    context: typer.Context,
    url: Url = None,
    live: Annotated[bool, typer.Option("--live", help="Only: does it still turn?")] = False,
    ready: Annotated[bool, typer.Option("--ready", help="Only: may it be given work?")] = False,
    as_json: operator.AsJson = False,
    timeout: Patience = None,
    config: flags.Config = None,
) -> None:
    """Ask a running service how it is: also as a probe, for images without curl.

    Its token is read from AUTH_WORKER_HTTP_TOKEN.

    Exit codes: 0 healthy, 1 the answer makes no sense, 2 usage, 3 unhealthy, or no service answers.

    Example: [bold]auth-worker health --ready[/]
    """
    if live and ready:
        fail("--live or --ready: not both", USAGE)
    path = "/livez" if live else "/readyz" if ready else "/health"
    answer = _ask(context.params, path)
    report = _json_of(answer)
    if as_json:
        operator.print_json([report])
    else:
        _show_health(report)
    raise typer.Exit(CLEAN if answer.status == 200 else operator.UNHEALTHY)


def metrics(
    context: typer.Context,
    url: Url = None,
    raw: Annotated[bool, typer.Option("--raw", help="As Prometheus gets them.")] = False,
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
        _show_metrics(samples)


def _ask(parameters: dict[str, Any], path: str) -> Answer:
    """The service's answer; exits where there is none."""
    settings = flags.settings_of(parameters)
    base = parameters.get("url") or _base_of(settings)
    if urlsplit(base).scheme not in ("http", "https"):
        fail(f"--url {redact(base)} must begin with http:// or https://", USAGE)
    request = Request(base.rstrip("/") + path)  # noqa: S310 - http or https, see above
    token = settings.http_token or settings.http_read_token or settings.http_metrics_token
    if token is not None:
        request.add_header("Authorization", f"Bearer {token.get_secret_value()}".encode().decode("latin-1"))
    given = parameters.get("timeout")
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=given / 1000 if given else PATIENCE_S) as reply:
            return Answer(reply.status, reply.read())
    except HTTPError as error:
        if error.code == 401:
            fail(f"{redact(base)} wants a token: set AUTH_WORKER_HTTP_TOKEN to the one of the service")
        return Answer(error.code, error.read())
    except (URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        fail(
            f"no service answers at {redact(base)}: {redact(str(reason))}; is one running there, with an HTTP "
            "port (AUTH_WORKER_HTTP_PORT)? --url names another",
            operator.UNHEALTHY,
        )


def _base_of(settings: Settings) -> str:
    if settings.http_port is None:
        fail("http_port is switched off in the settings: give --url", USAGE)
    host = ANYWHERE.get(settings.http_host, settings.http_host)
    return f"http://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{settings.http_port}"


def _json_of(answer: Answer) -> dict[str, Any]:
    try:
        report = json.loads(answer.body)
    except ValueError:
        report = None
    if not isinstance(report, dict) or "healthy" not in report:
        fail(f"what answers ({answer.status}) is no auth-worker: {answer.body[:80]!r}")
    return report


def _show_health(report: dict[str, Any]) -> None:
    screen = console()
    screen.print("[green]healthy[/]" if report["healthy"] else "[bold red]not healthy[/]")
    for reason in report.get("reasons") or ():
        screen.print(f"  {text(reason)}")
    processors = report.get("processors")
    if processors:
        numbers = ("DONE", "FAILED", "ACTIVE", "AVERAGE")
        shown = table("QUEUE", "STATE", *numbers, "WHY", right=numbers)
        for processor in processors:
            done = processor.get("metrics", {})
            shown.add_row(
                text(processor.get("queueName")),
                _state_of(processor),
                count(done.get("completed")),
                count(done.get("failed"), "red"),
                count(done.get("active"), "blue"),
                duration(done.get("averageProcessingTime")),
                text("; ".join(processor.get("reasons") or ())),
            )
        screen.print(shown)
    if report.get("database"):
        screen.print(f"database: {text(report['database'])}")


def _state_of(processor: dict[str, Any]) -> str:
    if processor.get("isPaused"):
        return "[yellow]paused[/]"
    if not processor.get("isRunning"):
        return "[red]stopped[/]"
    return "[green]run[/]" if processor.get("healthy") else "[red]ill[/]"


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


def _show_metrics(samples: list[tuple[str, dict[str, str], float]]) -> None:
    if not samples:
        notes().print("The service has no metrics yet.")
        return
    shown = table("METRIC", "OF", "VALUE", right=("VALUE",))
    for name, labels, value in sorted(samples, key=lambda sample: (sample[0], sorted(sample[1].items()))):
        of = " ".join(f"{key}={label}" for key, label in sorted(labels.items()))
        shown.add_row(text(name.removeprefix("auth_worker_")), text(of), f"{value:g}")
    console().print(shown)
