"""Listings at the widths of terminals: nothing is wider, no header or number is broken, ids keep both ends."""

from __future__ import annotations

import io
import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from auth_worker.cli.console import text
from auth_worker.cli.dead_screens import LETTER_COLUMNS
from auth_worker.cli.jobs import GROUP_COLUMNS, JOB_COLUMNS
from auth_worker.cli.listing import Column, Listing, shorten
from auth_worker.cli.queue_screen import QUEUE_COLUMNS
from auth_worker.cli.queues import WORKER_COLUMNS
from auth_worker.cli.running import METRIC_COLUMNS, PROCESSOR_COLUMNS

NUMBER = "1 234 567"
LONG_ID = "b9b21cdaae014f92804a15f610d03fee-100042"
LISTINGS = {
    "queues": QUEUE_COLUMNS,
    "workers": WORKER_COLUMNS,
    "jobs": JOB_COLUMNS,
    "groups": GROUP_COLUMNS,
    "dead": LETTER_COLUMNS,
    "health": PROCESSOR_COLUMNS,
    "metrics": METRIC_COLUMNS,
}
each_listing = pytest.mark.parametrize("columns", LISTINGS.values(), ids=LISTINGS)


def drawn(listing: Listing, width: int) -> list[str]:
    """The lines of ``listing`` on a terminal of ``width`` cells."""
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
