"""Shows one job."""

from __future__ import annotations

from auth_worker.admin.models import JobDetail
from auth_worker.cli.console import results, text, text_lines
from auth_worker.cli.formatting import ago, duration, moment, pairs, pretty, size, styled_state

SHAPE_ONLY = " [dim](shape only; --reveal shows the values)[/]"
"""Follows the title of data that is not revealed."""


def show_job(job: JobDetail) -> None:
    """Show everything that is known about a job."""
    screen = results()
    screen.print(pairs({**_header(job), **_relations(job)}))
    hint = "" if job.revealed else SHAPE_ONLY
    screen.print(f"\n[bold]data[/] {size(job.data_bytes)}{hint}\n{text_lines(pretty(job.data))}")
    if job.state == "completed":
        screen.print(f"\n[bold]result[/]{hint}\n{text_lines(pretty(job.return_value))}")
    if job.opts:
        screen.print(f"\n[bold]options[/]\n{text_lines(pretty(job.opts))}")
    if job.logs:
        left = job.log_count - len(job.logs)
        screen.print(f"\n[bold]log[/]{f' [dim]({left} earlier lines; --logs shows all)[/]' if left > 0 else ''}")
        screen.print("\n".join(map(text, job.logs)))
    if job.stacktrace:
        screen.print(f"\n[bold]stack trace[/] of attempt {job.attempts_made}\n{text_lines(job.stacktrace[-1])}")


def _header(job: JobDetail) -> dict[str, str]:
    attempts = f"{job.attempts_made}" + (f" of {job.max_attempts}" if job.max_attempts else "")
    stalls = f", stalls {job.stalled}" if job.stalled else ""
    return {
        "job": f"{text(job.name)} [bold]{text(job.id)}[/] of {text(job.queue)}",
        "state": styled_state(job.state) + (f", due {ago(job.due)}" if job.due else ""),
        "added": moment(job.timestamp),
        "started": moment(job.processed_on),
        "finished": moment(job.finished_on),
        "ran": duration(job.ran_ms),
        "attempts": f"{attempts}, starts {job.attempts_started}{stalls}",
        "priority": str(job.priority) if job.priority else "",
        "worker": text(job.worker or ""),
        "locked by": f"{text(job.lock_owner)} for {duration(job.lock_ms)}" if job.lock_owner else "",
        "failed": f"[red]{text(job.failed_reason)}[/]" if job.failed_reason else "",
        "will fail": text(job.deferred_failure or ""),
        "progress": text_lines(pretty(job.progress)) if job.progress not in (None, 0) else "",
    }


def _relations(job: JobDetail) -> dict[str, str]:
    children = job.children
    return {
        "parent": text(job.parent or ""),
        "children": ""
        if children is None
        else f"{children.pending} pending, {children.processed} processed, "
        f"{children.failed + children.ignored} failed: {text(', '.join(children.keys))}",
        "scheduler": text(job.scheduler or ""),
        "deduplicated by": text(job.deduplication_id or ""),
        "dead letter": text(job.dead_letter or ""),
    }
