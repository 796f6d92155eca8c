"""Dead letters on the screen."""

from __future__ import annotations

from auth_worker.admin.models import LetterDetail, LetterPage
from auth_worker.cli.console import text, text_lines
from auth_worker.cli.listing import Column, Listing
from auth_worker.cli.tables import ago, console, moment, notes, pairs, pretty

LETTER_COLUMNS = (
    Column("LETTER", least=28, middle=True),
    Column("JOB", 1, least=12, middle=True),
    Column("WHY"),
    Column("REASON", 1, least=20),
    Column("ATTEMPTS", 3, right=True),
    Column("DIED", 2),
)


def show_pages(pages: list[LetterPage], *, wide: bool) -> None:
    """The letters of some dead-letter queues as a table."""
    letters = [letter for page in pages for letter in page.letters]
    if not letters:
        notes().print("No dead letters." if not any(page.total for page in pages) else "No dead letter matches.")
        return
    shown = Listing(*LETTER_COLUMNS)
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


def show_letter_screen(letter: LetterDetail) -> None:
    """One letter, whole."""
    screen = console()
    screen.print(
        pairs(
            {
                "letter": text(letter.id),
                "job": text(f"{letter.name} {letter.job_id} of {letter.queue}"),
                "died": f"{moment(letter.failed_at)}, attempt {letter.attempts_made}",
                "worker": text(letter.worker),
                "why": text(letter.reason_class),
                "reason": text(letter.failed_reason),
                "in": text(letter.dead_letter_queue),
                "trace": text(letter.trace_context or ""),
                "payload": "" if letter.readable else "[red]cannot be read[/]: correct the job and add it anew",
            }
        )
    )
    screen.print(f"\n[bold]data[/]{'' if letter.revealed else ' [dim](its shape: --reveal shows it)[/]'}")
    screen.print(text_lines(pretty(letter.data)))
    if letter.opts:
        screen.print(f"\n[bold]options[/]\n{text_lines(pretty(letter.opts))}")
    if letter.stacktrace:
        screen.print(f"\n[bold]stack trace[/]\n{text_lines(letter.stacktrace[-1])}")
