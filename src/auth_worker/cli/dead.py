"""``auth-worker dead``: the jobs that failed for good."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

import typer

from auth_worker.admin.bulk import one_after_another
from auth_worker.admin.operations import Operations
from auth_worker.admin.search import LetterFilter
from auth_worker.cli import filter_flags, flags, operator
from auth_worker.cli.completion import complete_queue
from auth_worker.cli.console import USAGE, fail, text
from auth_worker.cli.dead_screens import show_letter_screen, show_pages
from auth_worker.cli.listing import Wide
from auth_worker.cli.operator import Verb
from auth_worker.cli.tables import notes
from auth_worker.outcome import ReasonClass

app = typer.Typer(
    no_args_is_help=True, help="Dead letters: the jobs that failed for good, and what became of them."
)

WHICH = "Which letters"
_which = partial(flags.option, panel=WHICH)
Letters = Annotated[list[str] | None, typer.Argument(metavar="LETTER...", help="Their ids.", show_default=False)]
Holder = Annotated[
    str | None,
    typer.Option(
        "--queue",
        "-q",
        metavar="QUEUE",
        help="The dead-letter queue (all).",
        show_default=False,
        autocompletion=complete_queue,
    ),
]
Origin = Annotated[str | None, _which("--from", metavar="QUEUE", text="Whose job came from this queue.")]
JobId = Annotated[str | None, _which("--job", metavar="ID", text="The letters of this job.")]
Reason = Annotated[
    ReasonClass | None, _which("--reason", metavar="CLASS", text=f"One of {', '.join(ReasonClass)}.")
]
Error = Annotated[str | None, _which("--error", metavar="TEXT", text="With this text in the reason.")]
Name = Annotated[
    str | None, _which("--name", metavar="TEXT", text="Its job had this name; * stands for anything.")
]
Where = Annotated[
    list[Any] | None,
    _which("--where", metavar="PATH=VALUE", text=filter_flags.WHERE, parser=filter_flags.condition_of),
]
Older = Annotated[
    float | None, _which("--older", metavar="AGE", text="Older than 2h, 7d, ...", parser=operator.age_s)
]
Every = Annotated[bool, typer.Option("--all", help="All of them.", rich_help_panel=WHICH)]


@app.command("list")
def list_letters(
    context: typer.Context,
    holder: Holder = None,
    origin: Origin = None,
    job_id: JobId = None,
    reason: Reason = None,
    error: Error = None,
    job_name: Name = None,
    where: Where = None,
    older: Older = None,
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="N", min=1, max=10_000, help="So many.")] = 20,
    wide: Wide = False,
    as_json: operator.AsJson = False,
    redis_url: flags.Redis = None,
    prefix: flags.Prefix = None,
    state_dir: flags.StateDir = None,
    timeout: operator.Timeout = None,
    config: flags.Config = None,
) -> None:
    """List dead letters, the newest first.

    Example: [bold]auth-worker dead list --from emailQueue --reason exhausted[/]
    """
    parameters = context.params

    async def work(operations: Operations) -> None:
        await _check(operations, holder, context.params.get("origin"))
        wanted = _filter_of(parameters)
        holders = [holder] if holder else list(await operations.dead.queues())
        pages = [await operations.dead.page(name, wanted, limit=limit) for name in holders]
        if as_json:
            rows = [(page, letter) for page in pages for letter in page.letters]
            operator.print_json(
                {"deadLetterQueue": page.dead_letter_queue, **letter.model_dump(by_alias=True)}
                for page, letter in rows
            )
        else:
            show_pages(pages, wide=wide)

    operator.operate(parameters, work)


@app.command("show")
def show_letter(
    context: typer.Context,
    letter: Annotated[str, typer.Argument(metavar="LETTER", help="Its id.", show_default=False)],
    holder: Holder = None,
    reveal: operator.Reveal = False,
    as_json: operator.AsJson = False,
    redis_url: flags.Redis = None,
    prefix: flags.Prefix = None,
    state_dir: flags.StateDir = None,
    timeout: operator.Timeout = None,
    config: flags.Config = None,
) -> None:
    """Show a dead letter: why its job died, with stack traces; its data only as a shape, unless revealed.

    Example: [bold]auth-worker dead show emailQueue@4f1c@1770000000000 --reveal[/]
    """

    async def work(operations: Operations) -> None:
        await _check(operations, holder, context.params.get("origin"))
        name = holder or await operations.dead.find(letter)
        found = await operations.dead.show(name, letter, reveal=reveal)
        if as_json:
            operator.print_json([found])
        else:
            show_letter_screen(found)

    operator.operate(context.params, work)


@app.command()
def redrive(
    context: typer.Context,
    letters: Letters = None,
    every: Every = False,
    holder: Holder = None,
    origin: Origin = None,
    job_id: JobId = None,
    reason: Reason = None,
    error: Error = None,
    job_name: Name = None,
    where: Where = None,
    older: Older = None,
    rate: operator.Rate = None,
    dry_run: operator.DryRun = False,
    as_json: operator.AsJson = False,
    redis_url: flags.Redis = None,
    prefix: flags.Prefix = None,
    state_dir: flags.StateDir = None,
    timeout: operator.Timeout = None,
    config: flags.Config = None,
) -> None:
    """Let the jobs of dead letters run again, with fresh attempts: those named, those that match, or all.

    A job that is there still goes back to wait, one that retention removed is added anew with its id; its letter
    is gone in the same step, so that redriving twice gives one job.

    Example: [bold]auth-worker dead redrive --from emailQueue --error timeout --rate 50/s[/]
    """
    operator.operate(context.params, lambda operations: _act(operations, context.params, operator.REDRIVE))


@app.command()
def purge(
    context: typer.Context,
    letters: Letters = None,
    every: Every = False,
    holder: Holder = None,
    origin: Origin = None,
    job_id: JobId = None,
    reason: Reason = None,
    error: Error = None,
    job_name: Name = None,
    where: Where = None,
    older: Older = None,
    keep: Annotated[int | None, _which("--keep", metavar="N", text="All but the newest N.", min=0)] = None,
    rate: operator.Rate = None,
    yes: operator.Yes = False,
    dry_run: operator.DryRun = False,
    as_json: operator.AsJson = False,
    redis_url: flags.Redis = None,
    prefix: flags.Prefix = None,
    state_dir: flags.StateDir = None,
    timeout: operator.Timeout = None,
    config: flags.Config = None,
) -> None:
    """Throw dead letters away: those named, those that match, or all. Their jobs stay as they are.

    Example: [bold]auth-worker dead purge --older 90d --dry-run[/]
    """
    operator.operate(context.params, lambda operations: _act(operations, context.params, operator.PURGE))


async def _check(operations: Operations, holder: str | None, origin: str | None = None) -> None:
    if holder is not None:
        await operations.jobs.check_queue(holder)
        if not await operations.dead.queues([holder]):
            others = ", ".join(list(await operations.dead.queues())[:10]) or "no queue"
            notes().print(text(f"{holder} holds no letters; those that do: {others}"), soft_wrap=True)
    elif origin is None:
        await operations.jobs.check_prefix()
    await operations.dead.check_origin(origin)


def _filter_of(parameters: Mapping[str, Any]) -> LetterFilter:
    reason = parameters.get("reason")
    return LetterFilter(
        queue=parameters.get("origin"),
        job_id=parameters.get("job_id"),
        reason_class=None if reason is None else str(reason),
        text=parameters.get("error"),
        name=parameters.get("job_name"),
        where=tuple(parameters.get("where") or ()),
        older_than=parameters.get("older"),
    )


async def _act(operations: Operations, parameters: Mapping[str, Any], verb: Verb) -> int:
    await _check(operations, parameters["holder"], parameters.get("origin"))
    chosen = (await _chosen(operations, parameters)).items()
    total = sum(len(ids) for _, ids in chosen)
    purging = verb is operator.PURGE
    question = f"Throw away {total} dead letters? This cannot be undone." if purging else None
    act = operations.dead.purge if purging else operations.dead.redrive_many
    each = [act(queue, ids, parameters.get("rate")) for queue, ids in chosen]
    return await operator.act_in_bulk(parameters, one_after_another(each), total, verb, "letters", question)


async def _chosen(operations: Operations, parameters: Mapping[str, Any]) -> dict[str, list[str]]:
    """The letters meant, by their dead-letter queue; exits where none are named."""
    letters, wanted, holder = parameters.get("letters") or [], _filter_of(parameters), parameters.get("holder")
    keep = parameters.get("keep")
    selective = wanted.asks or parameters["every"] or keep is not None
    if letters and selective:
        fail("name letters, or say which ones by --all and the like: not both", USAGE)
    if not letters and not selective:
        fail("say which letters: their ids, --from, --reason, --error, --older, or --all", USAGE)
    return await operations.dead.choose(letters or None, wanted, holder, keep or 0)
