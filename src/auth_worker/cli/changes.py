"""``auth-worker retry``, ``promote``, ``remove`` and ``change``: jobs by id, or all that match."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from auth_worker.admin.operations import Operations
from auth_worker.cli import filter_flags, flags, operator
from auth_worker.cli.console import USAGE, echo, fail
from auth_worker.cli.job_flags import duration_ms
from auth_worker.cli.jobs import ORDER
from auth_worker.cli.operator import Verb
from auth_worker.queue import MAX_PRIORITY


def retry(
    context: typer.Context,
    queue: operator.Queue,
    ids: filter_flags.Ids = None,
    every: filter_flags.Every = False,
    state: filter_flags.State = None,
    job_name: filter_flags.Name = None,
    job_id: filter_flags.Id = None,
    where: filter_flags.Where = None,
    error: filter_flags.Error = None,
    older: filter_flags.Older = None,
    rate: operator.Rate = None,
    dry_run: operator.DryRun = False,
    as_json: operator.AsJson = False,
    redis_url: flags.Redis = None,
    prefix: flags.Prefix = None,
    state_dir: flags.StateDir = None,
    timeout: operator.Timeout = None,
    config: flags.Config = None,
) -> None:
    """Let failed jobs (with --state completed, those) run again, with fresh attempts; their letters go with it.

    Example: [bold]auth-worker retry emailQueue --error timeout --dry-run[/]
    """
    operator.operate(context.params, lambda operations: _act(operations, context.params, operator.RETRY))


def promote(
    context: typer.Context,
    queue: operator.Queue,
    ids: filter_flags.Ids = None,
    every: filter_flags.Every = False,
    job_name: filter_flags.Name = None,
    job_id: filter_flags.Id = None,
    where: filter_flags.Where = None,
    older: filter_flags.Older = None,
    rate: operator.Rate = None,
    dry_run: operator.DryRun = False,
    as_json: operator.AsJson = False,
    redis_url: flags.Redis = None,
    prefix: flags.Prefix = None,
    state_dir: flags.StateDir = None,
    timeout: operator.Timeout = None,
    config: flags.Config = None,
) -> None:
    """Let delayed jobs run now.

    Example: [bold]auth-worker promote smsQueue --all[/]
    """
    operator.operate(context.params, lambda operations: _act(operations, context.params, operator.PROMOTE))


def remove(
    context: typer.Context,
    queue: operator.Queue,
    ids: filter_flags.Ids = None,
    every: filter_flags.Every = False,
    state: filter_flags.State = None,
    job_name: filter_flags.Name = None,
    job_id: filter_flags.Id = None,
    where: filter_flags.Where = None,
    error: filter_flags.Error = None,
    older: filter_flags.Older = None,
    yes: operator.Yes = False,
    rate: operator.Rate = None,
    dry_run: operator.DryRun = False,
    as_json: operator.AsJson = False,
    redis_url: flags.Redis = None,
    prefix: flags.Prefix = None,
    state_dir: flags.StateDir = None,
    timeout: operator.Timeout = None,
    config: flags.Config = None,
) -> None:
    """Remove jobs: those named, or those of a state that match. A job that a worker has is not removed.

    Example: [bold]auth-worker remove emailQueue --state failed --name welcome --older 30d[/]
    """
    operator.operate(context.params, lambda operations: _act(operations, context.params, operator.REMOVE))


def change(
    context: typer.Context,
    queue: operator.Queue,
    job_id: Annotated[str, typer.Argument(metavar="ID", help="The job's id.", show_default=False)],
    priority: Annotated[
        int | None,
        typer.Option(
            "--priority", metavar="N", min=0, max=MAX_PRIORITY, help="1 goes first; 0: none.", show_default=False
        ),
    ] = None,
    delay: Annotated[
        int | None,
        typer.Option("--delay", metavar="TIME", help="From now: 10s, 5m.", parser=duration_ms, show_default=False),
    ] = None,
    as_json: operator.AsJson = False,
    redis_url: flags.Redis = None,
    prefix: flags.Prefix = None,
    state_dir: flags.StateDir = None,
    timeout: operator.Timeout = None,
    config: flags.Config = None,
) -> None:
    """Give a job that has not finished another priority, or a delayed one another delay.

    Example: [bold]auth-worker change emailQueue welcome-12 --priority 1[/]
    """
    if priority is None and delay is None:
        fail("say what to change: --priority or --delay", USAGE)

    async def work(operations: Operations) -> None:
        await operations.jobs.change(queue, job_id, priority=priority, delay=delay)
        found = await operations.jobs.show(queue, job_id, logs=0)
        if as_json:
            operator.print_json([found])
        else:
            echo(f"{job_id} is {found.state}, priority {found.priority}")

    operator.operate(context.params, work)


async def _act(operations: Operations, parameters: dict[str, Any], verb: Verb) -> int:
    queue = parameters["queue"]
    await operations.jobs.check_queue(queue)
    ids = await _chosen(operations, parameters, verb)
    many = {
        operator.RETRY: operations.jobs.retry_many,
        operator.PROMOTE: operations.jobs.promote_many,
        operator.REMOVE: operations.jobs.remove_many,
    }
    steps = many[verb](queue, ids, parameters.get("rate"))
    removal = f"Remove {len(ids)} jobs of {queue}? This cannot be undone."
    question = removal if verb is operator.REMOVE else None
    return await operator.act_in_bulk(parameters, steps, len(ids), verb, "jobs", question)


async def _chosen(operations: Operations, parameters: dict[str, Any], verb: Verb) -> list[str]:
    """The jobs meant; exits where none are named."""
    ids: list[str] = parameters.get("ids") or []
    wanted = filter_flags.filter_of(parameters)
    if ids and (wanted.asks or parameters["every"]):
        fail("name jobs, or say which ones by --all and the like: not both", USAGE)
    if ids:
        return ids
    if not wanted.asks and not parameters["every"]:
        fail("say which jobs: their ids, --name, --where and the like, or --all", USAGE)
    state = (
        {operator.RETRY: "failed", operator.PROMOTE: "delayed"}.get(verb)
        if not parameters.get("state")
        else parameters["state"]
    )
    if state is None:
        fail(f"say the --state of the jobs to remove: {', '.join(ORDER)}", USAGE)
    return await operations.jobs.select(parameters["queue"], state, wanted)
