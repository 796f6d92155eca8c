"""Listings at the widths of terminals: nothing is wider, no header or number is broken, ids keep both ends."""

from __future__ import annotations

import io
import itertools
import re
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from auth_worker import JobQueue, UnrecoverableError
from auth_worker.cli.console import text
from auth_worker.cli.health import PROCESSOR_COLUMNS
from auth_worker.cli.jobs import GROUP_COLUMNS, JOB_COLUMNS
from auth_worker.cli.listing import Column, Listing, shorten
from auth_worker.cli.metrics import METRIC_COLUMNS
from auth_worker.cli.screens.dead_letters import DEAD_LETTER_COLUMNS
from auth_worker.cli.screens.queue import QUEUE_COLUMNS
from auth_worker.cli.workers import WORKER_COLUMNS
from support.command_line import Terminal, run_program
from support.prepared_queues import with_harness
from support.processors import QUEUE, Harness

NUMBER = "1 234 567"
LONG_QUEUE = "tenant-europe-west-3-notifications-transactional-email-high-priority-queue"
CJK_QUEUE = "通知キュー東京リージョン優先メール送信待ち行列その二"
LONG_REASON = "refused " * 180 + "to the end"
LONG_ID = "b9b21cdaae014f92804a15f610d03fee-100042"
LISTINGS = {
    "queues": QUEUE_COLUMNS,
    "workers": WORKER_COLUMNS,
    "jobs": JOB_COLUMNS,
    "groups": GROUP_COLUMNS,
    "dead": DEAD_LETTER_COLUMNS,
    "health": PROCESSOR_COLUMNS,
    "metrics": METRIC_COLUMNS,
}
each_listing = pytest.mark.parametrize("columns", LISTINGS.values(), ids=LISTINGS)


def drawn(listing: Listing, width: int) -> list[str]:
    """Return the lines of ``listing`` on a terminal of ``width`` cells."""
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None, emoji=False)
    with console.capture() as capture:
        console.print(listing.fit(width).table, crop=False)
    return [line.rstrip() for line in capture.get().splitlines()]


def filled(columns: tuple[Column, ...], long: str) -> Listing:
    """Two rows: short texts, and long ones wherever a column holds texts of any length."""
    listing = Listing(*columns)
    listing.add(*("7" if column.right else "short" for column in columns))
    listing.add(*(NUMBER if column.right else text(long) if column.least else "failed" for column in columns))
    return listing


@each_listing
@pytest.mark.parametrize(
    "long", [LONG_ID, "приветмир" * 8, "漢字" * 30, "a" * 500], ids=["id", "cyrillic", "cjk", "500"]
)
@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_a_listing_fits_its_terminal_and_breaks_nothing(
    columns: tuple[Column, ...], long: str, width: int
) -> None:
    listing = filled(columns, long)
    header, *rows = drawn(listing, width)
    out = listing.fit(width).out
    assert len(rows) == 2
    assert all(cell_len(line) <= width for line in (header, *rows))
    assert header.split() == [column.name for column in columns if column.name not in out]
    assert rows[1].count(NUMBER) == sum(column.right for column in columns if column.name not in out)
    assert not {column.name for column in columns if not column.rank} & set(out)


@each_listing
def test_a_listing_is_whole_at_its_own_width(columns: tuple[Column, ...]) -> None:
    listing = filled(columns, "漢字" * 30)
    fitted = listing.fit(listing.width)
    assert (fitted.out, fitted.shortened, fitted.note) == ([], False, "")
    assert all(cell_len(line) <= listing.width for line in drawn(listing, listing.width))


def test_a_terminal_too_narrow_for_any_listing_still_gets_whole_numbers() -> None:
    listing = filled(QUEUE_COLUMNS, LONG_ID)
    fitted = listing.fit(20)
    assert fitted.width > 20
    assert drawn(listing, fitted.width)[2].count(NUMBER) == 2


def test_an_id_of_a_million_characters_is_soon_shortened() -> None:
    listing = filled(JOB_COLUMNS, "x" * 1_000_000)
    assert max(map(cell_len, drawn(listing, 80))) <= 80


def test_columns_leave_by_rank_and_the_note_names_them() -> None:
    listing = filled(QUEUE_COLUMNS, LONG_ID)
    seen = [listing.fit(width).out for width in range(listing.width, 40, -1)]
    assert all(set(wider) <= set(narrower) for wider, narrower in itertools.pairwise(seen))
    assert seen[-1] == ["ACTIVE", "DELAYED", "FAILED", "DEAD", "DONE/MIN", "WORKERS"]
    assert listing.fit(60).note.endswith("; --wide shows all")


def test_an_id_is_shortened_in_its_middle() -> None:
    assert shorten(Text(LONG_ID), 16, middle=True).plain == "b9b21cda…-100042"
    assert shorten(Text("the mail server refused"), 10, middle=False).plain == "the mail …"
    assert shorten(Text.from_markup("[red]abcdef[/]"), 3, middle=True).markup == "[red]a[/red]…[red]f[/red]"


@given(st.text(max_size=60), st.integers(1, 30), st.booleans())
def test_a_shortened_text_fits_and_keeps_its_ends(given_text: str, width: int, middle: bool) -> None:
    cell = Text.from_markup(text(given_text))
    shortened = shorten(cell, width, middle=middle)
    assert shortened.cell_len <= max(width, 1)
    if cell.cell_len > width:
        head, tail = re.fullmatch(r"(.*)…(.*)", shortened.plain, re.DOTALL).groups()  # type: ignore[union-attr]
        assert cell.plain.startswith(head.split("…")[0])
        assert cell.plain.endswith(tail)


@pytest.fixture
def unlucky(folder: Path, redis_url: str) -> Path:
    """A folder to look from at queues of long and double-width names, and jobs whose ids and failures are long."""

    async def story(harness: Harness) -> None:
        for name in (LONG_QUEUE, CJK_QUEUE):
            async with JobQueue(name, redis_url) as queue:
                await queue.add_bulk({"name": "mail", "data": {}} for _ in range(1200))
        await harness.jobs.add("mail", {}, job_id=LONG_ID)
        await harness.jobs.add("送信" * 20, {}, job_id="注文番号" * 10)
        await harness.processor(_refuse)
        await harness.settled(2)

    with_harness(redis_url, story)
    return folder


async def _refuse(_: object) -> None:
    raise UnrecoverableError(LONG_REASON)


def seen_at(columns: int, folder: Path, redis_url: str, *arguments: str) -> list[str]:
    """Return the lines on a terminal with that many columns."""
    with Terminal(folder, *arguments, "--redis", redis_url, columns=columns) as terminal:
        assert terminal.end() == 0
        return terminal.screen.splitlines()


@pytest.mark.parametrize("columns", [80, 100, 120, 200])
def test_a_terminal_shows_real_queues_jobs_and_letters_unbroken(
    unlucky: Path, redis_url: str, columns: int
) -> None:
    queues = seen_at(columns, unlucky, redis_url, "queues")
    jobs = seen_at(columns, unlucky, redis_url, "jobs", QUEUE)
    letters = seen_at(columns, unlucky, redis_url, "dead", "list")
    assert all(cell_len(line.rstrip()) <= columns for line in (*queues, *jobs, *letters))
    assert {"QUEUE", "WAIT", "OLDEST", "FAILED", "DEAD"} <= set(queues[0].split())
    assert sum(" 1 200 " in line for line in queues) == 2
    assert any(line.startswith("tenant-eu") for line in queues)
    assert any(line.startswith("通知キュ") for line in queues)
    assert any(re.match(r"b9b21cda\S*…\S*-100042 |" + LONG_ID, line) for line in jobs)
    assert any(re.match(r"work@\S+…\S+\d{6} |work@\S+@\d{13} ", line) for line in letters)


@pytest.mark.parametrize("environment", [{}, {"FORCE_COLOR": "1", "COLUMNS": "80"}], ids=["plain", "forced"])
def test_a_pipe_gets_everything_a_row_a_line(
    unlucky: Path, redis_url: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    queues = run_program(unlucky, "queues", "--redis", redis_url)
    jobs = run_program(unlucky, "jobs", QUEUE, "--redis", redis_url)
    letters = run_program(unlucky, "dead", "list", "--redis", redis_url)
    for whole in (LONG_QUEUE, CJK_QUEUE):
        assert whole in queues.stdout
    assert len(jobs.stdout.splitlines()) == len(letters.stdout.splitlines()) == 3
    for whole in (LONG_ID, "注文番号" * 10, "送信" * 20, LONG_REASON):
        assert whole in jobs.stdout
    assert letters.stdout.count(LONG_REASON) == 2
    assert "--wide" not in queues.stderr + jobs.stderr + letters.stderr


def test_wide_shows_a_terminal_everything(unlucky: Path, redis_url: str) -> None:
    screen = "".join(seen_at(80, unlucky, redis_url, "jobs", QUEUE, "--wide"))
    assert LONG_ID in screen
    assert LONG_REASON in screen
    assert "…" not in screen


def test_watching_names_what_a_narrow_terminal_leaves_out(unlucky: Path, redis_url: str) -> None:
    with Terminal(unlucky, "queues", "--watch", "--redis", redis_url, columns=80) as terminal:
        terminal.shows("--wide shows all")
        assert terminal.end(signal.SIGINT) == 130
