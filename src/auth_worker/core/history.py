"""The history of a queue in buckets of fixed length: what ended, how long it waited and ran, what waits.

Each span is a ring of buckets, so that a history has a largest size whatever goes on. Times that jobs take are
counted in classes, each twice as long as the one before; percentiles are estimated from those.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Self

CLASSES = 25
"""How many classes of times there are: up to 1 ms, 2 ms, 4 ms, and so on; the last one, from 2.3 h, has no end."""
MINUTE_MS = 60_000


class Span(NamedTuple):
    """The length of a history: a ring of ``buckets`` of ``bucket_ms`` each."""

    name: str
    bucket_ms: int
    buckets: int

    @property
    def length_ms(self) -> int:
        """How far back it goes."""
        return self.bucket_ms * self.buckets

    def slot_of(self, at_ms: int) -> int:
        """Return which bucket of the ring has this time."""
        return at_ms // self.bucket_ms % self.buckets

    def start_of(self, at_ms: int) -> int:
        """Return when the bucket of this time starts."""
        return at_ms // self.bucket_ms * self.bucket_ms


SPANS = {
    span.name: span
    for span in (Span("hour", MINUTE_MS, 60), Span("day", 15 * MINUTE_MS, 96), Span("week", 60 * MINUTE_MS, 168))
}


class VersionMark(NamedTuple):
    """A version that workers have run from ``at`` (epoch ms) on."""

    at: int
    version: str


class Bucket(NamedTuple):
    """What happened from ``start`` (epoch ms) on. ``waits`` and ``runs`` count jobs by class, of a sample.

    ``oldest_ms``: the longest that the next job in line has waited. ``waiting``, ``active``: the most at a time.
    """

    start: int
    done: int = 0
    failed: int = 0
    oldest_ms: int = 0
    waiting: int = 0
    active: int = 0
    waits: tuple[int, ...] = ()
    runs: tuple[int, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing happened, and nothing waited."""
        return not any(self[1:6])

    def with_added(self, other: Self) -> Self:
        """Return this bucket and a later one, combined."""
        return self._replace(
            done=self.done + other.done,
            failed=self.failed + other.failed,
            oldest_ms=max(self.oldest_ms, other.oldest_ms),
            waiting=max(self.waiting, other.waiting),
            active=max(self.active, other.active),
            waits=_sum(self.waits, other.waits),
            runs=_sum(self.runs, other.runs),
        )

    def beside(self, other: Self) -> Self:
        """Return this bucket and another queue's of the same time, combined."""
        both = self.with_added(other)
        return both._replace(waiting=self.waiting + other.waiting, active=self.active + other.active)

    def encoded(self) -> str:
        """Return it as a short JSON text."""
        return json.dumps(self, separators=(",", ":"))

    @classmethod
    def decoded(cls, text: str) -> Self | None:
        """Read what ``encoded`` wrote; None for anything else."""
        try:
            start, done, failed, oldest_ms, waiting, active, waits, runs = json.loads(text)
            times = tuple(map(int, waits)), tuple(map(int, runs))
            bucket = cls(int(start), int(done), int(failed), int(oldest_ms), int(waiting), int(active), *times)
        except (ValueError, TypeError, RecursionError):
            return None
        return bucket if max(len(bucket.waits), len(bucket.runs)) <= CLASSES else None


def classes_of(times_ms: Iterable[int]) -> tuple[int, ...]:
    """Count times (ms) by class."""
    counts = [0] * CLASSES
    for time_ms in times_ms:
        counts[min(max(time_ms - 1, 0).bit_length(), CLASSES - 1)] += 1
    return _trimmed(counts)


def percentile(counts: Sequence[int], share: float) -> int | None:
    """Estimate the time (ms) that this ``share`` of the counted jobs did not exceed, or None without any."""
    total, seen = sum(counts), 0
    for number, count in enumerate(counts):
        if count and seen + count >= share * total:
            least: int = 2 ** (number - 1) if number else 0
            return int(least + (2**number - least) * (share * total - seen) / count)
        seen += count
    return None


def series(span: Span, stored: Mapping[int, str], now: int) -> list[Bucket]:
    """Return the buckets of a span up to ``now``, the oldest first; those that are not stored are empty.

    ``stored`` is by slot; a slot may still hold a bucket of the turn before.
    """
    found: list[Bucket] = []
    for start in range(span.start_of(now) - span.length_ms + span.bucket_ms, now + 1, span.bucket_ms):
        bucket = Bucket.decoded(stored.get(span.slot_of(start), ""))
        found.append(bucket if bucket is not None and bucket.start == start else Bucket(start))
    return found


def _sum(one: Sequence[int], other: Sequence[int]) -> tuple[int, ...]:
    return _trimmed([a + b for a, b in itertools.zip_longest(one, other, fillvalue=0)])


def _trimmed(counts: list[int]) -> tuple[int, ...]:
    while counts and not counts[-1]:
        counts.pop()
    return tuple(counts)
