"""``auth-worker metrics``: asks a running service over HTTP for its metrics."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from prometheus_client.parser import text_string_to_metric_families

from auth_worker.cli.common_flags import AsJson, Wide
from auth_worker.cli.connection import print_json
from auth_worker.cli.console import fail, notes, text
from auth_worker.cli.exit_codes import FAILED
from auth_worker.cli.listing import Column, Listing
from auth_worker.cli.service_client import ServiceFlags, ask_service
from auth_worker.core.terminal_text import visible_lines

METRIC_COLUMNS = (
    Column("METRIC", least=20, middle=True),
    Column("LABELS", least=20, middle=True),
    Column("VALUE", right=True),
)


def metrics(
    *,
    service: ServiceFlags,
    raw: Annotated[bool, typer.Option("--raw", help="Print them as Prometheus gets them.")] = False,
    wide: Wide = False,
    as_json: AsJson = False,
) -> None:
    """Show the metrics of a running service: the jobs it has processed, and the state of its queues.

    Its token is read from AUTH_WORKER_HTTP_TOKEN.

    Exit codes: 0 ok, 1 unreadable answer, 2 usage, 3 no service answers.

    Example: [bold]auth-worker metrics --url http://10.0.0.7:9464[/]
    """
    reply = ask_service(service, "/metrics")
    notes().print(f"[dim]{text(reply.service)}[/]")
    if reply.status != 200:
        fail(f"the service answers {reply.status} to /metrics", FAILED)
    page = reply.body.decode(errors="replace")
    if raw:
        typer.echo(visible_lines(page) if sys.stdout.isatty() else page, nl=False)
        return
    samples = _samples(page)
    if as_json:
        print_json({"name": name, "labels": labels, "value": value} for name, labels, value in samples)
    else:
        _show_metrics(samples, wide=wide)


def _samples(page: str) -> list[tuple[str, dict[str, str], float]]:
    try:
        families = list(text_string_to_metric_families(page))
    except ValueError as error:
        fail(f"the answer is not a page of metrics: {error}")
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
