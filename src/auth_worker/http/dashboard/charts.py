"""Draws charts as SVG on the server, so that pages need no script and no inline style for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

BAR_WIDTH, BAR_GAP, BARS_HEIGHT = 4, 1, 20
WIDTH, HEIGHT = 600, 120
Drawing = Markup


class Line(NamedTuple):
    """A line of a chart: its ``name``, also the class of its colour, and its value in each bucket, if any."""

    name: str
    values: Sequence[float | None]


class Mark(NamedTuple):
    """A moment on a chart: its ``place`` from 0 (left) to 1, and the ``title`` that is shown at it."""

    place: float
    title: str


def bars(values: Sequence[int], label: str, kind: str = "", failed: Sequence[int] = ()) -> Markup:
    """Draw one bar per value, with a part for those ``failed`` on top of it.

    ``label`` describes them to screen readers; ``kind`` is their colour's class.
    """
    each = list(zip(values, failed or [0] * len(values), strict=True))
    most = max(map(sum, each), default=0)
    width = len(values) * (BAR_WIDTH + BAR_GAP)
    drawn = []
    for place, (below, above) in enumerate(each):
        x, high = place * (BAR_WIDTH + BAR_GAP), _height(above, most, BARS_HEIGHT)
        low = min(_height(below, most, BARS_HEIGHT), BARS_HEIGHT - high)
        bar = Markup('<rect {}x="{}" y="{}" width="{}" height="{}"/>')
        if low:
            drawn.append(bar.format("", x, BARS_HEIGHT - low, BAR_WIDTH, low))
        if high:
            drawn.append(bar.format(Markup('class="failed" '), x, BARS_HEIGHT - low - high, BAR_WIDTH, high))
    return Markup(
        '<svg class="bars {}" viewBox="0 0 {} {}" width="{}" height="{}" preserveAspectRatio="none" role="img" '
        'aria-label="{}">{}</svg>'
    ).format(kind, width, BARS_HEIGHT, width, BARS_HEIGHT, label, Markup("").join(drawn))


def stacked(
    below: Sequence[int], above: Sequence[int], titles: Sequence[str], label: str, marks: Sequence[Mark] = ()
) -> Markup:
    """Draw one column of two parts per bucket, and ``marks``.

    ``titles`` are shown when the pointer is on a column.
    """
    most = max((one + other for one, other in zip(below, above, strict=True)), default=0)
    step = WIDTH / max(len(below), 1)
    drawn = []
    for place, (one, other, title) in enumerate(zip(below, above, titles, strict=True)):
        low, high = _height(one, most, HEIGHT), _height(other, most, HEIGHT)
        high = min(high, HEIGHT - low)
        column = Markup('<rect class="{}" x="{:.1f}" y="{}" width="{:.1f}" height="{}"/>')
        parts = [column.format("hit", place * step, 0, step, HEIGHT)]
        if low:
            parts.append(column.format("done", place * step, HEIGHT - low, step * 0.8, low))
        if high:
            parts.append(column.format("failed", place * step, HEIGHT - low - high, step * 0.8, high))
        drawn.append(Markup("<g><title>{}</title>{}</g>").format(title, Markup("").join(parts)))
    return _chart(label, Markup("").join([*drawn, *map(_mark, marks)]))


def lines(found: Sequence[Line], titles: Sequence[str], label: str, marks: Sequence[Mark] = ()) -> Markup:
    """Draw lines over the same buckets. A value of None breaks a line. ``marks`` are moments to be shown."""
    most = max((value for line in found for value in line.values if value is not None), default=0)
    step = WIDTH / max(len(titles), 1)
    drawn = [
        Markup('<g><title>{}</title><rect class="hit" x="{:.1f}" y="0" width="{:.1f}" height="{}"/></g>').format(
            title, place * step, step, HEIGHT
        )
        for place, title in enumerate(titles)
    ]
    drawn += [
        Markup('<path class="{}" d="{}"/>').format(line.name, _path(line.values, most or 1, step))
        for line in found
    ]
    return _chart(label, Markup("").join([*drawn, *map(_mark, marks)]))


def _mark(mark: Mark) -> Markup:
    return Markup('<g class="mark"><title>{}</title><path d="M{x:.1f} 0L{x:.1f} {}"/></g>').format(
        mark.title, HEIGHT, x=mark.place * WIDTH
    )


def _path(values: Sequence[float | None], most: float, step: float) -> str:
    """Return a path through the middles of the buckets; a value alone between two gaps becomes a short line."""
    parts: list[str] = []
    drawing = False
    for place, value in enumerate(values):
        if value is None:
            drawing = False
            continue
        x, y = (place + 0.5) * step, HEIGHT - 1 - value * (HEIGHT - 3) / most
        parts.append(f"L{x:.1f} {y:.1f}" if drawing else f"M{x - step / 3:.1f} {y:.1f}L{x:.1f} {y:.1f}")
        drawing = True
    return "".join(parts)


def _chart(label: str, drawn: Markup) -> Markup:
    return Markup(
        '<svg class="chart" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
    ).format(WIDTH, HEIGHT, label, drawn)


def _height(value: int, most: int, height: int) -> int:
    """Return the height of a value; one that is not 0 is at least 2 high, so that it can be seen."""
    return 0 if value <= 0 else max(round(value * height / most), 2)
