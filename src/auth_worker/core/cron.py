"""Reads cron patterns as Node BullMQ does, so that a scheduler fires at the same times whichever worker runs it.

Source: the npm package cron-parser. A pattern has up to six fields: second (0 if only five are given), minute,
hour, day of month, month, day of week; or it is an alias such as ``@daily``. Daylight saving: fixed hours fire
once, at the first occurrence of a repeated hour, and a time that is skipped in spring moves on (02:30 to 03:30). A
pattern that matches all 24 hours follows elapsed time.
"""

from __future__ import annotations

import calendar
import re
import time
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any, NamedTuple

from auth_worker.core.time_zones import find_zone

ALIASES = {
    "@yearly": "0 0 0 1 1 *",
    "@annually": "0 0 0 1 1 *",
    "@monthly": "0 0 0 1 * *",
    "@weekly": "0 0 0 * * 0",
    "@daily": "0 0 0 * * *",
    "@hourly": "0 0 * * * *",
    "@minutely": "0 * * * * *",
    "@secondly": "* * * * * *",
    "@weekdays": "0 0 0 * * 1-5",
    "@weekends": "0 0 0 * * 0,6",
}
NAMES = {
    **{name.lower(): number for number, name in enumerate(calendar.month_abbr) if number},
    **{name.lower(): (number + 1) % 7 for number, name in enumerate(calendar.day_abbr)},
}
LONGEST_PATTERN = 1024
_MASK = 0xFFFFFFFF
SEARCHED_DAYS = 41 * 366
"""How far to search for a day. The rarest ones, such as a fifth Monday in February, recur within 40 years."""
_ATOM = re.compile(r"(\d+)(?:-(\d+))?(?:/(\d+))?", re.ASCII)
_HASH = re.compile(r"H(?:\((\d+)-(\d+)\))?(?:/(\d+))?", re.ASCII)


class Cron(NamedTuple):
    """A parsed pattern. None for days means that they are not restricted.

    ``last_weekdays`` are the days of the week that count only in the last week of the month (``5L``).
    """

    seconds: list[int]
    minutes: list[int]
    hours: list[int]
    days: list[int] | None
    last_day: bool
    months: list[int]
    weekdays: list[int] | None
    nth: int
    last_weekdays: list[int]

    def falls_on(self, day: date) -> bool:
        """Whether the pattern fires on ``day``. If both kinds of days are restricted, one match is enough."""
        if day.month not in self.months:
            return False
        if self.days is None and self.weekdays is None:
            return True
        days_in_month = calendar.monthrange(day.year, day.month)[1]
        weekday, week = day.isoweekday() % 7, (day.day + 6) // 7
        by_month = self.days is not None and (day.day in self.days or (self.last_day and day.day == days_in_month))
        by_week = self.weekdays is not None and (
            (weekday in self.weekdays and self.nth in (0, week))
            or (weekday in self.last_weekdays and day.day > days_in_month - 7)
        )
        return by_month or by_week


class RepeatStrategy:
    """Computes the next time of the scheduler ``scheduler_id`` from its repeat options, for ``JobScheduler``."""

    def __init__(self, scheduler_id: str) -> None:
        self._scheduler_id = scheduler_id

    def __call__(self, now: int, repeat: Mapping[str, Any]) -> int | None:
        """Return the next time after ``now`` (epoch ms) and ``startDate``, or None if that is past ``endDate``.

        An ``H`` stands for the same time in every iteration, drawn from ``hashSeed`` or the scheduler's id. Raises
        ``ValueError`` as ``next_time``, even if ``immediately`` makes the next time unnecessary.
        """
        start, end = repeat.get("startDate"), repeat.get("endDate")
        seed = str(repeat.get("hashSeed") or self._scheduler_id)
        try:
            due = next_time(str(repeat["pattern"]), max(now, int(start or 0)), repeat.get("tz"), seed)
        except OverflowError:
            raise ValueError(f"startDate {start!r} is not a time") from None
        if repeat.get("immediately"):
            return round(time.time() * 1000)
        return None if end is not None and due > int(end) else due


def next_time(pattern: str, after: int, tz: Any = None, seed: str = "") -> int:
    """Return when ``pattern`` first fires after ``after``, both epoch ms.

    ``tz`` is a zone that ``find_zone`` can read; None means the machine's zone, as in Node. ``seed`` decides what
    each ``H`` stands for. Raises ``ValueError`` if the pattern or zone cannot be read, or the pattern never fires.
    """
    cron, (zone, days_s), since = read_pattern(pattern, seed), find_zone(tz), after // 1000
    since += days_s
    day = datetime.fromtimestamp(since, zone).date() - timedelta(days=1)  # a skipped 23:30 fires on the next day
    last = day + timedelta(days=SEARCHED_DAYS)
    while day < last:
        if day.month not in cron.months:
            day = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
            continue
        following = day + timedelta(days=1)
        if cron.falls_on(day) and (due := _first_of(cron, day, zone, since, None)) is not None:
            if cron.falls_on(following):  # its first minutes can precede a skipped time
                due = _first_of(cron, following, zone, since, due) or due
            return (due - days_s) * 1000
        day = following
    raise ValueError(f"pattern {pattern!r} never fires")


def _first_of(cron: Cron, day: date, zone: tzinfo | None, since: int, best: int | None) -> int | None:
    """Return the first time of ``day`` between ``since`` and ``best`` (epoch s), or ``best`` if there is none."""
    real_time = len(cron.hours) == 24
    for hour, fold in ((hour, fold) for hour in cron.hours for fold in ((0, 1) if real_time else (0,))):
        local = datetime(day.year, day.month, day.day, hour, tzinfo=zone, fold=fold)
        if local.timestamp() + 7200 <= since or (best is not None and local.timestamp() >= best):
            continue
        for minute in cron.minutes:
            start = int(local.replace(minute=minute).timestamp())
            if start + 59 <= since or (real_time and _is_skipped(local.replace(minute=minute), start)):
                continue
            due = next((start + second for second in cron.seconds if start + second > since), None)
            if due is not None and (best is None or due < best):
                best = due
    return best


def _is_skipped(local: datetime, instant: int) -> bool:
    return datetime.fromtimestamp(instant, local.tzinfo).replace(fold=0) != local.replace(fold=0)


@lru_cache(maxsize=1024)
def read_pattern(pattern: str, seed: str = "") -> Cron:
    """Parse a pattern. Raises ``ValueError`` saying what is wrong with it."""
    texts = ALIASES.get(pattern, pattern).split()
    if not 1 <= len(texts) <= 6 or len(pattern) > LONGEST_PATTERN:
        raise ValueError(f"pattern {pattern!r:.80} has {len(texts)} fields, not 5 or 6")
    second, minute, hour, day, month, weekday = ["0", *"*****"][: 6 - len(texts)] + texts
    numbers = _random_numbers(seed or pattern)
    try:
        seconds, minutes, hours = (
            _values(text, 0, most, next(numbers))[0] for text, most in ((second, 59), (minute, 59), (hour, 23))
        )
        months, _ = _values(_numbered(month), 1, 12, next(numbers))
        days, last_days = _values(day, 1, 31, next(numbers), last=r"\d{0,2}L")
        weekday, nth = _nth(weekday)
        weekdays, last_weekdays = _values(_numbered(weekday), 0, 7, next(numbers), last=r"\dL")
    except ValueError as error:
        raise ValueError(f"pattern {pattern!r} cannot be read: {error}") from None
    return Cron(
        seconds,
        minutes,
        hours,
        None if day in ("*", "?") else days,
        bool(last_days),
        months,
        None if weekday in ("*", "?") else weekdays,
        nth,
        [int(part[0]) % 7 for part in last_weekdays],
    )


def _nth(text: str) -> tuple[str, int]:
    """Split a day such as ``5#3``, the third Friday of the month."""
    weekday, found, nth = text.partition("#")
    if not found:
        return text, 0
    if not re.fullmatch("[1-5]", nth) or re.search("[,/-]", weekday):
        raise ValueError("# takes one day of week, and a number from 1 to 5")
    return weekday, int(nth)


def _numbered(text: str) -> str:
    """Replace names of months and days of the week by numbers."""
    return re.sub("[A-Za-z]{3}", lambda match: str(NAMES.get(match[0].lower(), match[0])), text)


def _values(text: str, least: int, most: int, number: float, last: str = "(?!)") -> tuple[list[int], list[str]]:
    """Return a field's values and its parts of the form ``last``. ``number`` (0..1) decides what H stands for."""
    text = re.sub("[*?]", f"{least}-{most}", text)
    parts = _HASH.sub(lambda match: _hashed(match, least, most, number), text).split(",")
    values = [value for part in parts if not re.fullmatch(last, part) for value in _part(part, least, most)]
    if len(set(values)) < len(values):
        raise ValueError(f"{text!r} names a value twice")
    return sorted(values), [part for part in parts if re.fullmatch(last, part)]


def _part(text: str, least: int, most: int) -> list[int]:
    match = _ATOM.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a number, range or step")
    low, step = int(match[1]), int(match[3] or 1)
    high = int(match[2]) if match[2] else most if match[3] else low
    if not least <= low <= high <= most or not step:
        raise ValueError(f"{text!r} is not within {least}-{most}")
    values = range(low, high + 1, step)
    return list({value % 7 for value in values} if most == 7 else values)


def _hashed(match: re.Match[str], least: int, most: int, number: float) -> str:
    """Replace an H by one value, or, if it has a step, by the values from a chosen offset on."""
    low, high = max(int(match[1] or least), least), min(int(match[2] or most), most)
    step = int(match[3] or 0)
    if low > high or match[3] == "0":
        raise ValueError(f"{match[0]!r} leaves no value within {least}-{most}")
    values = range(low // step * step + int(number * step), high + 1, step) if step else ()
    stepped = [str(value) for value in values if value >= low]
    return ",".join(stepped) or str(int(number * (high - low + 1)) + low)


def _random_numbers(seed: str) -> Iterator[float]:
    """Generate cron-parser's random numbers: mulberry32, seeded with the FNV-1a hash of the UTF-16 text."""
    state = 2166136261
    units = seed.encode("utf-16-le", "surrogatepass")
    for low, high in zip(units[::2], units[1::2], strict=True):
        state = ((state ^ (low | high << 8)) * 16777619) & _MASK
    while True:
        state = (state + 0x6D2B79F5) & _MASK
        mixed = (state ^ state >> 15) * (state | 1) & _MASK
        mixed ^= (mixed + (mixed ^ mixed >> 7) * (mixed | 61)) & _MASK
        yield (mixed ^ mixed >> 14) / 2**32
