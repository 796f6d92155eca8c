"""``auth-worker add``: one job from the command line, or many from JSON lines."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import typer

from auth_worker.broker.embedded_files import socket_path_in
from auth_worker.broker.keeper import Place, answers
from auth_worker.cli import flags, job_flags
from auth_worker.cli.console import USAGE, err, fail, text
from auth_worker.cli.lines import add_lines
from auth_worker.cli.loop import run_async
from auth_worker.errors import ConfigurationError
from auth_worker.names import check_job_id, check_queue_name
from auth_worker.queue import ADD_TIMEOUT, JobQueue, job_options
from auth_worker.terminal_text import ascii_json, visible


def add(
    context: typer.Context,
    queue: job_flags.Queue,
    job_name: job_flags.Name = None,  # not name: that is a setting, the worker's
    data: job_flags.Data = None,
    lines: job_flags.Lines = None,
    as_json: job_flags.AsJson = False,
    job_id: job_flags.JobId = None,
    delay: job_flags.Delay = None,
    attempts: job_flags.Attempts = None,
    backoff: job_flags.Backoff = None,
    priority: job_flags.Priority = None,
    lifo: job_flags.Lifo = None,
    deduplication: job_flags.Deduplication = None,
    timestamp: job_flags.Timestamp = None,
    remove_on_complete: job_flags.RemoveOnComplete = None,
    remove_on_fail: job_flags.RemoveOnFail = None,
    keep_logs: job_flags.KeepLogs = None,
    stack_trace_limit: job_flags.StackTraceLimit = None,
    size_limit: job_flags.SizeLimit = None,
    parent: job_flags.Parent = None,
    fail_parent_on_failure: job_flags.FailParent = None,
    continue_parent_on_failure: job_flags.ContinueParent = None,
    ignore_dependency_on_failure: job_flags.IgnoreDependency = None,
    remove_dependency_on_failure: job_flags.RemoveDependency = None,
    telemetry_metadata: job_flags.TelemetryMetadata = None,
    omit_context: job_flags.OmitContext = None,
    redis_url: flags.Redis = None,
    prefix: flags.Prefix = None,
    state_dir: flags.StateDir = None,
    timeout: job_flags.Timeout = None,
    config: flags.Config = None,
) -> None:
    """Put a job on a queue, or many from JSON lines, and print the id of each.

    Without a Redis, it goes to the embedded broker of the state directory, which a running [bold]auth-worker
    run[/] shares. Ids from lines are not printed at a terminal, unless as JSON.

    Example: [bold]auth-worker add smsQueue sendOtp --delay 5m --data '{"type": "sendOtp", "data": {"phone":
    "+4930123456", "code": "493817"}}'[/]

    Example: [bold]auth-worker add emailQueue --attempts 5 --lines jobs.jsonl[/]
    """
    _add(context.params)


def _add(parameters: dict[str, Any]) -> None:
    queue, name, lines, as_json = (parameters[key] for key in ("queue", "job_name", "lines", "as_json"))
    options = _checked(parameters)
    settings = flags.settings_of(parameters)
    timeout = ADD_TIMEOUT if parameters["timeout"] is None else parameters["timeout"] / 1000
    target = JobQueue(queue, settings=settings, default_options=options, timeout=timeout)
    nobody_works = settings.redis_url is None and not _broker_runs(settings.state_dir)

    def show(jobs: list[dict[str, Any]], ids: list[str]) -> None:
        if as_json:
            pairs = zip(jobs, ids, strict=True)
            ids = [ascii_json({"queue": queue, "name": job["name"], "id": job_id}) for job, job_id in pairs]
        if ids and (as_json or lines is None or not sys.stdout.isatty()):
            shown = map(visible, ids) if sys.stdout.isatty() else ids
            sys.stdout.write("\n".join(shown) + "\n")
            sys.stdout.flush()

    if lines is None:
        entry = {"name": name, "data": job_flags.data_of(parameters["data"])}
        show([entry], run_async(_add_one(target, entry)))
    else:
        err().print(f"Jobs added to {text(queue)}: {add_lines(target, lines, name, show)}")
    if nobody_works:
        folder = text(settings.state_dir.absolute())
        err().print(f"[dim]No worker runs on {folder} now: what waits there waits for the next one.[/]")


async def _add_one(queue: JobQueue, entry: dict[str, Any]) -> list[str]:
    async with queue:
        return await queue.add_bulk([entry])


def _checked(parameters: dict[str, Any]) -> dict[str, Any]:
    """The job's options; exits where the command line makes no sense."""
    options = job_flags.options_of(parameters)
    lines = parameters["lines"] is not None
    if lines and (parameters["data"] is not None or parameters["job_id"] is not None):
        fail("--lines has the data and the ids in its lines: leave out --data and --job-id", USAGE)
    if not lines and not parameters["job_name"]:
        fail("give the job a NAME, or many jobs with --lines", USAGE)
    try:
        check_queue_name("QUEUE", parameters["queue"])
        job_options(options)
        if "job_id" in options:
            check_job_id(options["job_id"])
    except ConfigurationError as error:
        fail(str(error), USAGE)
    return options


def _broker_runs(state_dir: Path) -> bool:
    """Whether some process has the embedded broker of ``state_dir`` running."""
    directory = Place(state_dir.expanduser().absolute() / "broker").directory
    return directory.is_dir() and answers(socket_path_in(directory))
