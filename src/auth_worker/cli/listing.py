"""Listings that fit the terminal: columns are left out by rank, ids are shortened in their middle."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, NamedTuple

import typer
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from auth_worker.cli.tables import console, is_terminal, notes

GAP = 2
"""Blanks between two columns."""
Wide = Annotated[bool, typer.Option("--wide", help="Show every column, and every text whole, however wide.")]


class Column(NamedTuple):
    """A column of a listing.

    ``rank``: 0 is always shown; of the others the highest is left out first. ``least``: how many cells are left of
    its texts at least when they are shortened; 0 means they never are. ``middle``: shorten them in the middle.
    """

    name: str
    rank: int = 0
    right: bool = False
    least: int = 0
    middle: bool = False


class Fitted(NamedTuple):
    """A fitted listing: its ``width`` in cells, the columns left ``out``, whether texts are ``shortened``."""

    table: Table
    width: int
    out: list[str]
    shortened: bool

    @property
    def note(self) -> str:
        """What is not shown, and how to see it; empty where all is."""
        if self.out:
            return f"not shown: {', '.join(self.out)}; --wide shows all"
        return "shortened: --wide shows all" if self.shortened else ""


class Listing:
    """Rows of cells, each in rich's markup."""

    def __init__(self, *columns: Column) -> None:
        self._columns = columns
        self._rows: list[list[Text]] = []

    def add(self, *cells: str) -> None:
        """Add a row."""
        self._rows.append([Text.from_markup(cell, emoji=False) for cell in cells])

    @property
    def width(self) -> int:
        """How many cells the listing takes whole."""
        return _total(self._natural_widths())

    def fit(self, width: int) -> Fitted:
        """The listing in at most ``width`` cells; wider only where the columns of rank 0 alone need more."""
        natural = self._natural_widths()
        shown = list(range(len(self._columns)))
        while _total(self._least(index, natural) for index in shown) > width:
            candidates = [index for index in shown if self._columns[index].rank]
            if not candidates:
                break
            shown.remove(max(candidates, key=lambda index: (self._columns[index].rank, index)))
        widths = self._shrink({index: self._most(index, natural, width) for index in shown}, natural, width)
        made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, GAP, 0, 0))
        for index, cells in widths.items():
            column = self._columns[index]
            made.add_column(
                column.name, justify="right" if column.right else "left", no_wrap=True, min_width=cells
            )
        for row in self._rows:
            made.add_row(
                *(
                    shorten(row[index], cells, middle=self._columns[index].middle)
                    for index, cells in widths.items()
                )
            )
        out = [column.name for index, column in enumerate(self._columns) if index not in widths]
        return Fitted(
            made, _total(widths.values()), out, any(cells < natural[index] for index, cells in widths.items())
        )

    def show(self, *, wide: bool = False) -> None:
        """Write the listing to stdout: whole if ``wide`` or where that is no terminal."""
        screen = console()
        fitted = self.fit(self.width if wide or not is_terminal(screen) else screen.width)
        screen.width = max(screen.width, fitted.width)  # or rich would take the last columns away
        screen.print(fitted.table, crop=False)
        if fitted.note:
            notes().print(f"[dim]{fitted.note}[/]")

    def _natural_widths(self) -> list[int]:
        return [
            max(cell_len(column.name), *(row[index].cell_len for row in self._rows), 0)
            for index, column in enumerate(self._columns)
        ]

    def _least(self, index: int, natural: list[int]) -> int:
        column = self._columns[index]
        return min(natural[index], max(column.least, cell_len(column.name))) if column.least else natural[index]

    def _most(self, index: int, natural: list[int], width: int) -> int:
        return min(natural[index], max(self._least(index, natural), width))

    def _shrink(self, widths: dict[int, int], natural: list[int], width: int) -> dict[int, int]:
        """Take cells from the widest column that may give some, until all fit."""
        while _total(widths.values()) > width:
            giving = [index for index in widths if widths[index] > self._least(index, natural)]
            if not giving:
                break
            widths[max(giving, key=lambda index: widths[index])] -= 1
        return widths


def shorten(cell: Text, width: int, *, middle: bool) -> Text:
    """``cell`` in at most ``width`` cells, with an ellipsis in its middle or at its end."""
    if cell.cell_len <= width:
        return cell
    tail = (width - 1) // 2 if middle else 0
    shortened = cell[: _fitting(cell.plain, width - 1 - tail)]
    shortened.append("…")
    kept = _fitting(reversed(cell.plain), tail)
    return shortened.append_text(cell[len(cell.plain) - kept :]) if kept else shortened


def _fitting(characters: Iterable[str], width: int) -> int:
    """How many of the ``characters`` fit into ``width`` cells."""
    fitting = 0
    for character in characters:
        width -= cell_len(character)
        if width < 0:
            break
        fitting += 1
    return fitting


def _total(widths: Iterable[int]) -> int:
    return sum(cells + GAP for cells in widths) - GAP
