"""Draws charts as SVG on the server, so that pages need no script and no inline style for them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from markupsafe import Markup

from auth_worker.core.durations import duration_text

BAR_WIDTH, BAR_GAP, BARS_HEIGHT = 4, 1, 20
WIDTH, HEIGHT = 600, 120
Drawing = Markup
TICKS_MS = (10, 1000, 60_000, 3_600_000, 86_400_000)
"""Where a logarithmic axis of durations has lines, as far as a chart reaches."""


class Line(NamedTuple):
    """A line of a chart: its ``name``, also the class of its colour, and its value in each bucket, if any."""

    name: str
    values: Sequence[float | None]


class Tick(NamedTuple):
    """A line across a chart: its ``place`` from 0 (bottom) to 1, and the ``text`` at it."""

    place: float
    text: str


class Caption(NamedTuple):
    """What is shown when the pointer is on a part of a chart: a moment (epoch ms), and the ``text`` after it."""

    at: int
    text: str


class Mark(NamedTuple):
    """A moment on a chart: its ``place`` from 0 (left) to 1, and the ``caption`` that is shown at it."""

    place: float
    caption: Caption


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
    below: Sequence[int], above: Sequence[int], captions: Sequence[Caption], label: str, marks: Sequence[Mark] = ()
) -> Markup:
    """Draw one column of two parts per bucket, and ``marks``.

    ``captions`` are shown when the pointer is on a column.
    """
    most = max((one + other for one, other in zip(below, above, strict=True)), default=0)
    step = WIDTH / max(len(below), 1)
    drawn = []
    for place, (one, other, caption) in enumerate(zip(below, above, captions, strict=True)):
        low, high = _height(one, most, HEIGHT), _height(other, most, HEIGHT)
        high = min(high, HEIGHT - low)
        column = Markup('<rect class="{}" x="{:.1f}" y="{}" width="{:.1f}" height="{}"/>')
        parts = [column.format("hit", place * step, 0, step, HEIGHT)]
        if low:
            parts.append(column.format("done", place * step, HEIGHT - low, step * 0.8, low))
        if high:
            parts.append(column.format("failed", place * step, HEIGHT - low - high, step * 0.8, high))
        drawn.append(Markup("<g>{}{}</g>").format(_title(caption), Markup("").join(parts)))
    ticks = [Tick(1, f"{most:,}"), Tick(0.5, f"{most / 2:,.0f}")] if most > 1 else []
    return _chart(label, Markup("").join([*drawn, *map(_mark, marks)]), ticks)


def lines(
    found: Sequence[Line],
    captions: Sequence[Caption],
    label: str,
    marks: Sequence[Mark] = (),
    *,
    is_log: bool = False,
) -> Markup:
    """Draw lines of durations (ms) over the same buckets. A value of None breaks a line.

    ``marks`` are moments to be shown. With ``is_log`` the axis is logarithmic, so that a p50 is seen beside a p99.
    """
    most = max((value for line in found for value in line.values if value is not None), default=0)
    step = WIDTH / max(len(captions), 1)
    drawn = [
        Markup('<g>{}<rect class="hit" x="{:.1f}" y="0" width="{:.1f}" height="{}"/></g>').format(
            _title(caption), place * step, step, HEIGHT
        )
        for place, caption in enumerate(captions)
    ]
    drawn += [
        Markup('<path class="{}" d="{}"/>').format(
            line.name, _path([None if ms is None else _share(ms, most, is_log) for ms in line.values], step)
        )
        for line in found
    ]
    shown = [ms for ms in TICKS_MS if ms <= most] if is_log else [most, most / 2] if most else []
    ticks = [Tick(_share(ms, most, is_log), duration_text(ms, 1)) for ms in shown]
    return _chart(label, Markup("").join([*drawn, *map(_mark, marks)]), ticks)


def _share(value: float, most: float, is_log: bool) -> float:
    """Return how high a value is on an axis that reaches from 0 to ``most``, from 0 to 1."""
    if most <= 0:
        return 0
    return math.log1p(max(value, 0)) / math.log1p(most) if is_log else value / most


def _title(caption: Caption) -> Markup:
    """Draw a caption with its moment in UTC. The browser puts the reader's own zone before it."""
    at = datetime.fromtimestamp(caption.at / 1000, UTC)
    return Markup('<title data-at="{:%Y-%m-%dT%H:%M:%SZ}">{:%Y-%m-%d %H:%M} UTC: {}</title>').format(
        at, at, caption.text
    )


def _mark(mark: Mark) -> Markup:
    return Markup('<g class="mark">{}<path d="M{x:.1f} 0L{x:.1f} {}"/></g>').format(
        _title(mark.caption), HEIGHT, x=mark.place * WIDTH
    )


def _path(shares: Sequence[float | None], step: float) -> str:
    """Return a path through the middles of the buckets; a value alone between two gaps becomes a short line."""
    parts: list[str] = []
    drawing = False
    for place, share in enumerate(shares):
        if share is None:
            drawing = False
            continue
        x, y = (place + 0.5) * step, HEIGHT - 1 - share * (HEIGHT - 3)
        parts.append(f"L{x:.1f} {y:.1f}" if drawing else f"M{x - step / 3:.1f} {y:.1f}L{x:.1f} {y:.1f}")
        drawing = True
    return "".join(parts)


def _chart(label: str, drawn: Markup, ticks: Sequence[Tick]) -> Markup:
    """Draw a chart stretched to the width of an image, and over it an axis, whose texts keep their shape."""
    line = Markup(
        '<line x1="0" x2="100%" y1="{y:.1f}%" y2="{y:.1f}%"/><text x="0" y="{y:.1f}%" dy="{dy}">{text}</text>'
    )
    axis = Markup("").join(
        line.format(y=100 * (1 - tick.place), dy="1em" if tick.place > 0.9 else "-.2em", text=tick.text)
        for tick in ticks
    )
    return Markup(
        '<svg class="chart" role="img" aria-label="{}">'
        '<svg viewBox="0 0 {} {}" width="100%" height="100%" preserveAspectRatio="none">{}</svg>'
        '<g class="ticks">{}</g></svg>'
    ).format(label, WIDTH, HEIGHT, drawn, axis)


def _height(value: int, most: int, height: int) -> int:
    """Return the height of a value; one that is not 0 is at least 2 high, so that it can be seen."""
    return 0 if value <= 0 else max(round(value * height / most), 2)
