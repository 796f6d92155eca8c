"""``auth-worker add``: adds one job from the command line, or many from JSON lines."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from auth_worker.brokers.opening import is_embedded_running, registered_partitions
from auth_worker.cli.add_json_lines import add_json_lines
from auth_worker.cli.async_runner import run_async
from auth_worker.cli.common_flags import Queue
from auth_worker.cli.connection import Connection
from auth_worker.cli.console import fail, notes, text
from auth_worker.cli.exit_codes import USAGE
from auth_worker.cli.job_option_flags import AsJson, Data, JobOptionFlags, Lines, Name, read_data
from auth_worker.cli.parsers import duration_ms
from auth_worker.cli.settings_flags import BROKER, option
from auth_worker.config import Settings
from auth_worker.core.names import check_job_id, check_queue_name
from auth_worker.core.terminal_text import ascii_json, visible
from auth_worker.errors import ConfigurationError
from auth_worker.queue import ADD_TIMEOUT, AddedJob, BulkJob, JobQueue, job_options


@dataclass(frozen=True)
class ProducerConnection(Connection):
    """The flags that name the broker, with the timeout of adding jobs."""

    timeout: Annotated[
        int | None,
        option(
            "--timeout",
            metavar="TIME",
            text="How long to wait for Redis (10s).",
            panel=BROKER,
            parser=duration_ms,
        ),
    ] = None


def add(
    queue: Queue,
    name: Name = None,
    data: Data = None,
    lines: Lines = None,
    as_json: AsJson = False,
    *,
    options: JobOptionFlags,
    connection: ProducerConnection,
) -> None:
    """Add a job to a queue, or many from JSON lines, and print their ids.

    Without a Redis URL, it goes to the embedded broker of the state directory, which a running [bold]auth-worker
    run[/] shares. At a terminal, the ids of jobs from lines are printed only with --json.

    Example: [bold]auth-worker add smsQueue sendOtp --delay 5m --data '{"type": "sendOtp", "data": {"phone":
    "+4930123456", "code": "493817"}}'[/]

    Example: [bold]auth-worker add emailQueue --attempts 5 --lines jobs.jsonl[/]
    """
    if lines is not None and (data is not None or options.job_id is not None):
        fail("with --lines, data and ids are in the lines: leave out --data and --job-id", USAGE)
    if lines is None and not name:
        fail("give the job a NAME, or many jobs with --lines", USAGE)
    _check(queue, options.given())
    settings = connection.settings
    timeout = ADD_TIMEOUT if connection.timeout is None else connection.timeout / 1000
    open_queue = partial(_open_queue, queue, settings, options.given(), timeout)
    no_worker = settings.redis_url is None and not is_embedded_running(settings.state_dir)
    silent = lines is not None and not as_json and sys.stdout.isatty()

    there = 0

    def show(jobs: list[BulkJob], added: list[AddedJob]) -> None:
        nonlocal there
        there += sum(not job.created for job in added)
        if not silent:
            _print_ids(queue, jobs, added, as_json=as_json)

    if lines is None:
        job: BulkJob = {"name": name or "", "data": read_data(data)}
        show([job], [run_async(_add_one(open_queue(), job))])
    else:
        notes().print(f"Jobs added to {text(queue)}: {add_json_lines(open_queue, lines, name, show)}")
    if there:
        which = "The job was" if lines is None else f"{there} of them were"
        notes().print(f"[dim]{which} there already, and not added again.[/]")
    if no_worker:
        _say_that_no_worker_runs(settings.state_dir, "the job waits" if lines is None else "the jobs wait")


def _open_queue(name: str, settings: Settings, options: dict[str, Any], timeout: float) -> JobQueue:
    partitions = run_async(registered_partitions(settings, name, timeout))
    return JobQueue(name, settings=settings, default_options=options, timeout=timeout, partitions=partitions)


def _say_that_no_worker_runs(folder: Path, waits: str) -> None:
    notes().print(f"[dim]No worker runs on {text(folder.absolute())}: {waits} until one starts.[/]")


def _check(queue: str, options: dict[str, Any]) -> None:
    """Exit if the queue's name or an option is invalid."""
    try:
        check_queue_name("QUEUE", queue)
        job_options(options)
        if "job_id" in options:
            check_job_id(options["job_id"])
    except ConfigurationError as error:
        fail(str(error), USAGE)


def _print_ids(queue: str, jobs: list[BulkJob], added: list[AddedJob], *, as_json: bool) -> None:
    ids: list[str] = [*added]
    if as_json:
        ids = [
            ascii_json({"queue": queue, "name": job["name"], "id": one, "created": one.created})
            for job, one in zip(jobs, added, strict=True)
        ]
    if ids:
        shown = map(visible, ids) if sys.stdout.isatty() else ids
        sys.stdout.write("\n".join(shown) + "\n")
        sys.stdout.flush()


async def _add_one(queue: JobQueue, job: BulkJob) -> AddedJob:
    async with queue:
        return await queue.add(job["name"], job["data"])
