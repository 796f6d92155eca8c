"""The page of a queue's history: how many jobs ended, how long they waited and ran, how old the oldest was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from starlette.responses import Response

from auth_worker.admin.history import SAMPLE
from auth_worker.core.durations import duration_text
from auth_worker.core.history import MINUTE_MS, SPANS, Bucket, Span, VersionMark, percentile
from auth_worker.errors import ConfigurationError
from auth_worker.http.dashboard.charts import Caption, Drawing, Line, Mark, lines, stacked
from auth_worker.http.dashboard.visit import Visit

PERCENTILES = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))


class Chart(NamedTuple):
    """A chart with its title and largest value. ``parts`` are (class of the colour, name) for the legend."""

    title: str
    most: str
    parts: tuple[tuple[str, str], ...]
    drawn: Drawing


async def show_history(visit: Visit) -> Response:
    """Show four charts over an hour, a day or a week, and their values as a table."""
    operations = await visit.operations()
    queue = await visit.known_queue(visit.asked("queue")) if visit.asked("queue") else None
    span = SPANS.get(visit.asked("span", "hour"))
    if span is None:
        raise ConfigurationError(f"there is no span {visit.asked('span')!r:.80}: there are {', '.join(SPANS)}")
    found = await operations.history.read(queue, span)
    versions = [each for each in await operations.history.versions() if each.at >= found[0].start]
    return visit.page(
        "history.html",
        begin=found[0].start,
        charts=charts_of(found, span, versions),
        names=(await operations.broker.find_queues())[0],
        percentile=percentile,
        queue=queue,
        recorded=[bucket for bucket in reversed(found) if not bucket.is_empty],
        sample=SAMPLE,
        span=span.name,
        spans=list(SPANS),
        versions=versions,
    )


def charts_of(found: list[Bucket], span: Span, versions: Sequence[VersionMark] = ()) -> list[Chart]:
    """Draw the four charts of these buckets, with a mark where the version of the workers changed."""
    begin = found[0].start
    marks = [Mark((each.at - begin) / span.length_ms, Caption(each.at, each.version)) for each in versions]
    return [
        _ended(found, span, marks),
        _times(found, "Waited", marks),
        _times(found, "Ran", marks),
        _oldest(found, marks),
    ]


def _ended(found: list[Bucket], span: Span, marks: Sequence[Mark]) -> Chart:
    minutes = span.bucket_ms // MINUTE_MS
    captions = [Caption(each.start, f"{each.done:,} done, {each.failed:,} failed") for each in found]
    done, failed = [each.done for each in found], [each.failed for each in found]
    most = max(map(sum, zip(done, failed, strict=True)), default=0)
    per = "a minute" if minutes == 1 else f"in {duration_text(span.bucket_ms, 1)}"
    label = f"{sum(done):,} done and {sum(failed):,} failed in the last {span.name}"
    parts = (("done", "done"), ("failed", "failed"))
    return Chart(f"Ended {per}", f"{most:,}", parts, stacked(done, failed, captions, label, marks))


def _times(found: list[Bucket], title: str, marks: Sequence[Mark]) -> Chart:
    counts = [each.waits if title == "Waited" else each.runs for each in found]
    each_line = [Line(name, [percentile(one, share) for one in counts]) for name, share in PERCENTILES]
    captions = [
        Caption(bucket.start, ", ".join(f"{line.name} {_shown(line.values[place])}" for line in each_line))
        for place, bucket in enumerate(found)
    ]
    most = max((value for line in each_line for value in line.values if value is not None), default=None)
    label = f"{title}, at most {_shown(most)}"
    parts = tuple((line.name, line.name) for line in each_line)
    return Chart(
        title, f"{_shown(most)}, logarithmic", parts, lines(each_line, captions, label, marks, is_log=True)
    )


def _oldest(found: list[Bucket], marks: Sequence[Mark]) -> Chart:
    values = [None if each.is_empty else each.oldest_ms for each in found]
    captions = [Caption(each.start, f"oldest {_shown(value)}") for each, value in zip(found, values, strict=True)]
    most = max((value for value in values if value is not None), default=None)
    drawn = lines([Line("oldest", values)], captions, f"The oldest waited {_shown(most)} at most", marks)
    return Chart("The oldest that waited", _shown(most), (("oldest", "oldest"),), drawn)


def _shown(value: float | None) -> str:
    return "\u2013" if value is None else duration_text(value)
