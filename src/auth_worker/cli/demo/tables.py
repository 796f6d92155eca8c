"""Shows the results of the demo as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from auth_worker.cli.console import text
from auth_worker.cli.demo.checks import DEAD, DELIVERED, Check
from auth_worker.cli.demo.environment import Outcome
from auth_worker.cli.demo.mail_server import Delivery
from auth_worker.core.dead_letter import DeadLetter
from auth_worker.core.report import Metrics, ServiceHealth

GOOD, BAD = "[green]✓[/]", "[bold red]✗[/]"


def result_tables(outcome: Outcome, deliveries: list[Delivery], checks: list[Check]) -> Iterator[RenderableType]:
    """Yield all tables in their order."""
    yield _side_by_side(_health(outcome.health), _metrics(outcome.metrics, outcome.took_s))
    yield _side_by_side(_by_subject(deliveries), _by_domain(deliveries))
    yield _dead_letters(outcome.letters)
    yield _check_table(checks)


def verdict(checks: list[Check]) -> RenderableType:
    """Return the verdict: that all numbers add up, or which do not."""
    wrong = [check for check in checks if not check.holds]
    if wrong:
        return Group(
            Text("It does not add up:", style="bold red"), *(Text(f"  {check}", style="red") for check in wrong)
        )
    planned = {check.what: check.planned for check in checks}
    return Text.from_markup(
        f"{GOOD} [bold]It adds up:[/] {planned[DELIVERED]} e-mails delivered, none twice; "
        f"{planned[DEAD]} dead letters; nothing lost.\n"
    )


def _by_subject(deliveries: list[Delivery]) -> Table:
    table = _table("Delivered, as the mail server saw it")
    table.add_column("Subject")
    table.add_column("E-mails", justify="right", style="green", no_wrap=True)
    counts = Counter(delivery.subject for delivery in deliveries)
    for subject, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        table.add_row(text(subject), str(count))
    return table


def _by_domain(deliveries: list[Delivery]) -> Table:
    table = _table("")
    table.add_column("To", no_wrap=True)
    table.add_column("E-mails", justify="right", style="green")
    for domain, count in sorted(Counter(delivery.domain for delivery in deliveries).items()):
        table.add_row(text(domain), str(count))
    table.add_section()
    table.add_row("[bold]all[/]", f"[bold]{len(deliveries)}[/]")
    table.add_row("twice", str(len(deliveries) - len({delivery.message_id for delivery in deliveries})))
    return table


def _dead_letters(letters: list[DeadLetter]) -> Table:
    table = _table("Dead letters, as stored in the dead-letter queue")
    table.add_column("Reason and job", no_wrap=True)
    table.add_column("Attempts", justify="right")
    table.add_column("Details", overflow="fold")
    for letter in reversed(letters):
        table.add_row(
            f"[red]{text(letter.data['reasonClass'])}[/]\n[dim]{text(letter.name)}[/]",
            str(letter.data["attemptsMade"]),
            text(letter.data["failedReason"]),
        )
    return table


def _check_table(checks: list[Check]) -> Table:
    table = _table("Does it add up?")
    table.add_column("")
    for name in ("Planned", "Service", "Broker", "Mail server"):
        table.add_column(name, justify="right")
    table.add_column("")
    for check in checks:
        numbers = ["" if number is None else str(number) for number in check[1:]]
        table.add_row(check.what, *numbers, GOOD if check.holds else BAD)
    return table


def _health(health: ServiceHealth) -> Table:
    table = _table("Health")
    table.add_column("")
    table.add_column("", justify="right")
    (processor,) = health.processors
    table.add_row("service", _state(health.healthy, "healthy", "; ".join(health.reasons) or "not healthy"))
    table.add_row(
        processor.queue_name, _state(processor.healthy, "healthy", "; ".join(processor.reasons) or "not healthy")
    )
    table.add_row("running", _state(processor.is_running, "yes", "no"))
    table.add_row("paused", _state(not processor.is_paused, "no", "yes"))
    table.show_header = False
    return table


def _metrics(metrics: Metrics, took_s: float) -> Table:
    table = _table("Metrics")
    for justify in ("left", "right", "left", "right"):
        table.add_column("", justify=justify)
    table.add_row("processed", str(metrics.processed), "total time", f"{took_s:.1f} s")
    table.add_row("completed", str(metrics.completed), "average time", f"{metrics.average_processing_time:.0f} ms")
    table.add_row("failed", str(metrics.failed), "success rate", f"{metrics.success_rate:g} %")
    table.add_row("retried", str(metrics.retried), "failure rate", f"{metrics.failure_rate:g} %")
    table.show_header = False
    return table


def _state(good: bool, if_good: str, if_bad: str) -> str:
    return f"[green]{if_good}[/]" if good else f"[bold red]{text(if_bad)}[/]"


def _table(title: str) -> Table:
    return Table(title=f" {title}", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)


def _side_by_side(left: Table, right: Table) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_row(left, right)
    return grid
