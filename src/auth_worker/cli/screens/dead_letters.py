"""Shows a list of dead letters, and one of them."""

from __future__ import annotations

from auth_worker.admin.models import DeadLetterDetail, DeadLetterPage
from auth_worker.cli.console import notes, results, text, text_lines
from auth_worker.cli.formatting import ago, moment, pairs, pretty
from auth_worker.cli.listing import Column, Listing
from auth_worker.cli.screens.job import SHAPE_ONLY

DEAD_LETTER_COLUMNS = (
    Column("ID", least=28, middle=True),
    Column("JOB", 1, least=12, middle=True),
    Column("CLASS"),
    Column("REASON", 1, least=20),
    Column("ATTEMPTS", 3, right=True),
    Column("FAILED", 2),
)


def show_pages(pages: list[DeadLetterPage], *, wide: bool) -> None:
    """Show the dead letters of some dead-letter queues as a table."""
    letters = [letter for page in pages for letter in page.letters]
    if not letters:
        notes().print("No dead letters." if not any(page.total for page in pages) else "No dead letter matches.")
        return
    shown = Listing(*DEAD_LETTER_COLUMNS)
    for letter in letters:
        shown.add(
            text(letter.id),
            text(letter.name),
            text(letter.reason_class),
            text(letter.failed_reason),
            str(letter.attempts_made),
            ago(letter.failed_at),
        )
    shown.show(wide=wide)
    for page in pages:
        notes().print(f"[dim]{len(page.letters)} of {page.total} in {text(page.dead_letter_queue)}[/]")


def show_dead_letter(letter: DeadLetterDetail) -> None:
    """Show everything that is known about a dead letter."""
    screen = results()
    screen.print(
        pairs(
            {
                "dead letter": text(letter.id),
                "job": text(f"{letter.name} {letter.job_id} of {letter.queue}"),
                "failed": f"{moment(letter.failed_at)}, attempt {letter.attempts_made}",
                "worker": text(letter.worker),
                "class": text(letter.reason_class),
                "reason": text(letter.failed_reason),
                "in": text(letter.dead_letter_queue),
                "trace": text(letter.trace_context or ""),
                "payload": "" if letter.readable else "[red]unreadable[/]: correct the data and add the job again",
            }
        )
    )
    if letter.notes:
        screen.print(f"\n[bold]notes[/]\n{text_lines(chr(10).join(letter.notes))}")
    screen.print(f"\n[bold]data[/]{'' if letter.revealed else SHAPE_ONLY}")
    screen.print(text_lines(pretty(letter.data)))
    if letter.opts:
        screen.print(f"\n[bold]options[/]\n{text_lines(pretty(letter.opts))}")
    if letter.stacktrace:
        screen.print(f"\n[bold]stack trace[/]\n{text_lines(letter.stacktrace[-1])}")
