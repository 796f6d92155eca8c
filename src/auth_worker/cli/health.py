"""``auth-worker health``: asks a running service over HTTP for its health."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from auth_worker.cli.common_flags import AsJson, Wide
from auth_worker.cli.connection import print_json
from auth_worker.cli.console import fail, results, text
from auth_worker.cli.exit_codes import CLEAN, UNHEALTHY, USAGE
from auth_worker.cli.formatting import count, duration
from auth_worker.cli.listing import Column, Listing
from auth_worker.cli.service_client import Reply, Service, ServiceFlags, ask_service
from auth_worker.core.redaction import redact

PROCESSOR_COLUMNS = (
    Column("QUEUE", least=16, middle=True),
    Column("PROCESS", right=True),
    Column("STATE"),
    Column("DONE", 1, right=True),
    Column("FAILED", 1, right=True),
    Column("ACTIVE", 2, right=True),
    Column("AVERAGE", 3, right=True),
    Column("REASONS", least=20),
)


def health(
    *,
    service: ServiceFlags,
    live: Annotated[bool, typer.Option("--live", help="Ask only whether it is alive.")] = False,
    ready: Annotated[bool, typer.Option("--ready", help="Ask only whether it can be given work.")] = False,
    wide: Wide = False,
    as_json: AsJson = False,
) -> None:
    """Ask a running service for its health; serves as a probe in images without curl.

    Without --url, the ports of the settings are tried. Of several services, the one with the name or the state
    directory of the settings is asked. The token is read from AUTH_WORKER_HTTP_TOKEN, and sent to services only.

    Exit codes: 0 healthy, 1 unreadable answer, 2 usage, 3 unhealthy, or no service answers.

    Example: [bold]auth-worker health --ready[/]
    """
    if live and ready:
        fail("--live or --ready: not both", USAGE)
    reply = ask_service(service, "/livez" if live else "/readyz" if ready else "/health")
    report = _report_in(reply)
    if as_json:
        identity = reply.service.identity
        about = {"name": identity.name, "pid": identity.pid, "stateDir": identity.state_dir}
        print_json([{**report, "service": {"url": redact(reply.service.base), **about}}])
    else:
        _show_health(report, reply.service, wide=wide)
    raise typer.Exit(CLEAN if reply.status == 200 else UNHEALTHY)


def _report_in(reply: Reply) -> dict[str, Any]:
    try:
        report = json.loads(reply.body)
    except ValueError:
        report = None
    if not isinstance(report, dict) or "healthy" not in report:
        fail(f"the answer ({reply.status}) is not a health report of auth-worker: {reply.body[:80]!r}")
    return report


def _show_health(report: dict[str, Any], service: Service, *, wide: bool) -> None:
    screen = results()
    screen.print("[green]healthy[/]" if report["healthy"] else "[bold red]not healthy[/]")
    screen.print(f"[dim]{text(service)}[/]")
    for reason in report.get("reasons") or ():
        screen.print(f"  {text(reason)}")
    processors = report.get("processors")
    if processors:
        has_processes = any("process" in processor for processor in processors)
        shown = Listing(*(each for each in PROCESSOR_COLUMNS if has_processes or each.name != "PROCESS"))
        for processor in processors:
            done = processor.get("metrics", {})
            shown.add(
                text(processor.get("queueName")),
                *([text(processor.get("process", ""))] if has_processes else []),
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
