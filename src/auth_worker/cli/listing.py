"""Tables that fit the terminal: the least important columns are left out, and long texts are shortened."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from auth_worker.cli.console import is_terminal, notes, results

GAP = 2
"""Blanks between two columns."""


class Column(NamedTuple):
    """A column of a listing.

    A column of ``rank`` 0 is always shown; of the others, the highest rank is left out first. Its texts may be
    shortened to ``least`` cells, in the ``middle`` or else at the end; 0 means that they are never shortened.
    """

    name: str
    rank: int = 0
    right: bool = False
    least: int = 0
    middle: bool = False


class Fitted(NamedTuple):
    """A listing that fits: its ``width`` in cells, the columns left ``out``, whether texts are ``shortened``."""

    table: Table
    width: int
    out: list[str]
    shortened: bool

    @property
    def note(self) -> str:
        """A note on what is not shown and how to see it; empty if everything is shown."""
        if self.out:
            return f"not shown: {', '.join(self.out)}; --wide shows all"
        return "shortened: --wide shows all" if self.shortened else ""


class Listing:
    """A table that fits the terminal. Its cells are texts in rich's markup."""

    def __init__(self, *columns: Column) -> None:
        self._columns = columns
        self._rows: list[list[Text]] = []

    def add(self, *cells: str) -> None:
        """Add a row."""
        self._rows.append([Text.from_markup(cell, emoji=False) for cell in cells])

    @property
    def width(self) -> int:
        """The width (cells) of the listing with every column and text in full."""
        return _total(self._natural_widths())

    def fit(self, width: int) -> Fitted:
        """Fit the listing into ``width`` cells; it stays wider only if the columns of rank 0 alone need more."""
        natural = self._natural_widths()
        shown = list(range(len(self._columns)))
        while _total(self._least(index, natural) for index in shown) > width:
            candidates = [index for index in shown if self._columns[index].rank]
            if not candidates:
                break
            shown.remove(max(candidates, key=lambda index: (self._columns[index].rank, index)))
        widths = self._shrink({index: self._most(index, natural, width) for index in shown}, natural, width)
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, GAP, 0, 0))
        for index, cells in widths.items():
            column = self._columns[index]
            table.add_column(
                column.name, justify="right" if column.right else "left", no_wrap=True, min_width=cells
            )
        for row in self._rows:
            table.add_row(
                *(
                    shorten(row[index], cells, middle=self._columns[index].middle)
                    for index, cells in widths.items()
                )
            )
        out = [column.name for index, column in enumerate(self._columns) if index not in widths]
        return Fitted(
            table, _total(widths.values()), out, any(cells < natural[index] for index, cells in widths.items())
        )

    def show(self, *, wide: bool = False) -> None:
        """Write the listing to stdout; in full if ``wide``, or if stdout is not a terminal."""
        screen = results()
        fitted = self.fit(self.width if wide or not is_terminal(screen) else screen.width)
        screen.width = max(screen.width, fitted.width)  # otherwise rich would drop the last columns
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
        """Narrow the widest column that can be narrowed, until all fit."""
        while _total(widths.values()) > width:
            shrinkable = [index for index in widths if widths[index] > self._least(index, natural)]
            if not shrinkable:
                break
            widths[max(shrinkable, key=lambda index: widths[index])] -= 1
        return widths


def shorten(cell: Text, width: int, *, middle: bool) -> Text:
    """Shorten ``cell`` to ``width`` cells, with an ellipsis in its middle or at its end."""
    if cell.cell_len <= width:
        return cell
    tail = (width - 1) // 2 if middle else 0
    shortened = cell[: _fitting(cell.plain, width - 1 - tail)]
    shortened.append("…")
    kept = _fitting(reversed(cell.plain), tail)
    return shortened.append_text(cell[len(cell.plain) - kept :]) if kept else shortened


def _fitting(characters: Iterable[str], width: int) -> int:
    """Count the ``characters`` that fit into ``width`` cells."""
    fitting = 0
    for character in characters:
        width -= cell_len(character)
        if width < 0:
            break
        fitting += 1
    return fitting


def _total(widths: Iterable[int]) -> int:
    return sum(cells + GAP for cells in widths) - GAP
