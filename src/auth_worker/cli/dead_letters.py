"""``auth-worker dead``: list, show, redrive and purge the jobs that failed for good."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn

import typer

from auth_worker.admin.operations import Operations
from auth_worker.admin.plan import ChangeDeadLetters, DeadLetterAction, plan_of
from auth_worker.admin.selection import DeadLetterFilter, DeadLetterSelection
from auth_worker.cli.bulk_operations import PURGE, REDRIVE, BulkFlags, Verb, run_bulk_operation
from auth_worker.cli.common_flags import AsJson, Reveal, Wide, Yes
from auth_worker.cli.completion import complete_queue
from auth_worker.cli.connection import Connection, print_json, run_connected
from auth_worker.cli.console import fail, notes, text
from auth_worker.cli.exit_codes import USAGE
from auth_worker.cli.filter_flags import WHERE, condition_of, reason_of
from auth_worker.cli.parsers import age_s, whole_numbers
from auth_worker.cli.screens.dead_letters import show_dead_letter, show_pages
from auth_worker.cli.settings_flags import option
from auth_worker.core.outcome import ReasonClass

WHICH = "Which dead letters"
Ids = Annotated[
    list[str] | None, typer.Argument(metavar="ID...", help="The ids of dead letters.", show_default=False)
]
Queue = Annotated[
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
Every = Annotated[bool, typer.Option("--all", help="All of them.", rich_help_panel=WHICH)]


@dataclass(frozen=True)
class DeadLetterFilterFlags:
    """The flags that select dead letters."""

    origin: Annotated[
        str | None, option("--from", metavar="QUEUE", text="Dead letters of jobs from this queue.", panel=WHICH)
    ] = None
    job_id: Annotated[str | None, option("--job", metavar="ID", text="Dead letters of this job.", panel=WHICH)] = (
        None
    )
    reason: Annotated[
        str | None,
        option(
            "--reason",
            metavar="CLASS",
            text=f"One of {', '.join(ReasonClass)}.",
            panel=WHICH,
            parser=reason_of,
        ),
    ] = None
    error: Annotated[str | None, option("--error", metavar="TEXT", text="A text in the reason.", panel=WHICH)] = (
        None
    )
    job_name: Annotated[
        str | None,
        option("--name", metavar="TEXT", text="The name of the job; * matches anything.", panel=WHICH),
    ] = None
    where: Annotated[
        list[Any] | None, option("--where", metavar="PATH=VALUE", text=WHERE, panel=WHICH, parser=condition_of)
    ] = None
    older: Annotated[
        float | None, option("--older", metavar="AGE", text="Older than 2h, 7d, ...", panel=WHICH, parser=age_s)
    ] = None
    newer: Annotated[
        float | None, option("--newer", metavar="AGE", text="At most 10m, 2h, ... old.", panel=WHICH, parser=age_s)
    ] = None

    @property
    def filter(self) -> DeadLetterFilter:
        """The filter of these flags."""
        return DeadLetterFilter(
            queue=self.origin,
            job_id=self.job_id,
            reason_class=self.reason,
            text=self.error,
            name=self.job_name,
            where=tuple(self.where or ()),
            older_than=self.older,
            newer_than=self.newer,
        )


def list_dead_letters(
    queue: Queue = None,
    *,
    which: DeadLetterFilterFlags,
    limit: Annotated[
        int,
        typer.Option("--limit", "-n", metavar="N", help="How many to show at most.", **whole_numbers(1, 10_000)),
    ] = 20,
    wide: Wide = False,
    as_json: AsJson = False,
    connection: Connection,
) -> None:
    """List dead letters, newest first.

    Example: [bold]auth-worker dead list --from emailQueue --reason exhausted[/]
    """

    async def work(operations: Operations) -> None:
        await _check_queues(operations, queue, which.origin)
        queues = [queue] if queue else list(await operations.dead.queues())
        pages = [await operations.dead.page(name, which.filter, limit=limit) for name in queues]
        for page in pages:
            _print_note(page.note)
        if as_json:
            print_json(
                {"deadLetterQueue": page.dead_letter_queue, **letter.model_dump(by_alias=True)}
                for page in pages
                for letter in page.letters
            )
        else:
            show_pages(pages, wide=wide)

    run_connected(connection, work, queue)


def show(
    letter: Annotated[str, typer.Argument(metavar="ID", help="The id of the dead letter.", show_default=False)],
    queue: Queue = None,
    reveal: Reveal = False,
    as_json: AsJson = False,
    *,
    connection: Connection,
) -> None:
    """Show a dead letter: why its job failed, with stack traces. Its data is shown as a shape, unless revealed.

    Example: [bold]auth-worker dead show emailQueue@4f1c@1770000000000 --reveal[/]
    """

    async def work(operations: Operations) -> None:
        await _check_queues(operations, queue)
        name = queue or await operations.dead.find(letter)
        found = await operations.dead.show(name, letter, reveal=reveal)
        if as_json:
            print_json([found])
        else:
            show_dead_letter(found)

    run_connected(connection, work, queue)


def note(
    letter: Annotated[str, typer.Argument(metavar="ID", help="The id of the dead letter.", show_default=False)],
    words: Annotated[str, typer.Argument(metavar="NOTE", help="The note.", show_default=False)],
    queue: Queue = None,
    *,
    connection: Connection,
) -> None:
    """Add a note to a dead letter, such as why it is left there.

    Whoever may read the dead letter sees the note. It goes with the dead letter.

    Example: [bold]auth-worker dead note emailQueue@7@1795774247958 "waits for ticket 4711"[/]
    """

    async def work(operations: Operations) -> None:
        await _check_queues(operations, queue)
        await operations.dead.add_note(queue or await operations.dead.find(letter), letter, words)

    run_connected(connection, work, queue)


def redrive(
    ids: Ids = None,
    every: Every = False,
    queue: Queue = None,
    *,
    which: DeadLetterFilterFlags,
    bulk: BulkFlags,
    connection: Connection,
) -> None:
    """Run the jobs of dead letters again, with fresh attempts: those named, those that match, or all.

    A job that still exists goes back to wait; one that retention removed is added again with its id. The
    dead letter is removed in the same step, so redriving twice runs the job once.

    Example: [bold]auth-worker dead redrive --from emailQueue --error timeout --rate 50/s[/]
    """
    _change_dead_letters(connection, REDRIVE, _selection(ids, every, queue, which), bulk)


def purge(
    ids: Ids = None,
    every: Every = False,
    queue: Queue = None,
    *,
    which: DeadLetterFilterFlags,
    keep: Annotated[
        int | None,
        option("--keep", metavar="N", text="Keep the newest N of each queue.", panel=WHICH, **whole_numbers(0)),
    ] = None,
    yes: Yes = False,
    bulk: BulkFlags,
    connection: Connection,
) -> None:
    """Delete dead letters: those named, those that match, or all. Their jobs stay as they are.

    Example: [bold]auth-worker dead purge --older 90d --dry-run[/]
    """

    def question(total: int) -> str:
        return f"Delete {total} dead letters? This cannot be undone."

    selection = _selection(ids, every, queue, which, keep)
    _change_dead_letters(connection, PURGE, selection, bulk, None if yes else question)


def _change_dead_letters(
    connection: Connection,
    verb: Verb[DeadLetterAction],
    which: DeadLetterSelection,
    bulk: BulkFlags,
    question: Callable[[int], str] | None = None,
) -> NoReturn:
    """Run an operation on the selected dead letters, once ``question``, about so many of them, is confirmed."""
    change = ChangeDeadLetters(action=verb.infinitive, which=which, rate=bulk.rate)

    async def work(operations: Operations) -> int:
        await _check_queues(operations, which.queue, which.filter.queue)
        _print_note(await operations.dead.note_without_letters(which.queue))
        plan = await plan_of(change, operations)
        return await run_bulk_operation(bulk, plan, verb, "dead letters", question and question(plan.total))

    run_connected(connection, work, which.queue)


def _print_note(note: str) -> None:
    if note:
        notes().print(text(note), soft_wrap=True)


async def _check_queues(operations: Operations, queue: str | None, origin: str | None = None) -> None:
    """Raise ``NotFoundError`` unless the dead-letter queue, and the queue the jobs came from, exist."""
    if queue is not None:
        await operations.queues.check_exists(queue)
    elif origin is None:
        await operations.queues.check_prefix()
    await operations.dead.check_origin(origin)


def _selection(
    ids: list[str] | None, every: bool, queue: str | None, which: DeadLetterFilterFlags, keep: int | None = None
) -> DeadLetterSelection:
    """Return the selection of dead letters; exits if none are selected, or in two ways."""
    selection = DeadLetterSelection(
        queue=queue, ids=tuple(ids or ()) or None, every=every, keep=keep, filter=which.filter
    )
    if selection.fault == "named twice":
        fail("name dead letters, or select them by --all and the like: not both", USAGE)
    if selection.fault == "not named":
        fail("say which dead letters: their ids, --from, --reason, --error, --newer, --older, or --all", USAGE)
    return selection
