"""Cron patterns as Node BullMQ reads them, so that a scheduler fires at the same times whoever works its queue.

Source: the npm package cron-parser. A pattern has up to six fields: second (0 where only five are given), minute,
hour, day of month, month, day of week; or it is an alias as ``@daily``. Daylight saving: fixed hours fire once, at
the first occurrence of a repeated hour, and a time that is skipped in spring moves on (02:30 to 03:30); where all
24 hours match, real time counts.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from itertools import islice
from typing import NamedTuple
from zoneinfo import ZoneInfo

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
SEARCHED_DAYS = 41 * 366
"""How far to look for a day: the rarest ones, as a fifth Monday of February, come back within 40 years."""
_ATOM = re.compile(r"(\d+)(?:-(\d+))?(?:/(\d+))?")
_HASH = re.compile(r"H(?:\((\d+)-(\d+)\))?(?:/(\d+))?")
_OFFSET = re.compile(r"UTC([+-])(\d{1,2})(?::(\d\d))?", re.IGNORECASE)


class Cron(NamedTuple):
    """A pattern that was read; ``last_weekdays`` are the days of week that must be the month's last (``5L``)."""

    seconds: list[int]
    minutes: list[int]
    hours: list[int]
    days: set[int] | None
    last_day: bool
    months: set[int]
    weekdays: set[int] | None
    nth: int
    last_weekdays: set[int]

    def falls_on(self, day: date) -> bool:
        """Whether it fires on ``day``: where both kinds of days are restricted, one of them is enough."""
        if day.month not in self.months:
            return False
        days_in_month = calendar.monthrange(day.year, day.month)[1]
        weekday = day.isoweekday() % 7
        by_month = self.days is not None and (
            day.day in self.days or (self.last_day and day.day == days_in_month)
        )
        by_week = self.weekdays is not None and (
            (weekday in self.weekdays and self.nth in (0, -(-day.day // 7)))
            or (weekday in self.last_weekdays and day.day > days_in_month - 7)
        )
        return by_month or by_week or (self.days is None and self.weekdays is None)


def next_time(pattern: str, after: int, tz: str | None = None, seed: str = "") -> int:
    """When ``pattern`` fires first after ``after``; both epoch ms.

    ``tz`` is an IANA name or ``UTC+3``; without it the machine's own zone counts, as in Node. ``seed`` decides
    what each ``H`` stands for. Raises ``ValueError`` when pattern or zone cannot be read, or no time can come.
    """
    cron, zone, since = read_pattern(pattern, seed), _zone(tz), after // 1000
    yesterday = datetime.fromtimestamp(since, zone).date() - timedelta(days=1)  # a skipped 23:30 is due a day later
    for number in range(SEARCHED_DAYS):
        day = yesterday + timedelta(days=number)
        if cron.falls_on(day) and (due := _first_of(cron, day, zone, since, None)) is not None:
            following = day + timedelta(days=1)  # its first minutes can come before a time that was skipped
            if cron.falls_on(following):
                due = _first_of(cron, following, zone, since, due) or due
            return due * 1000
    raise ValueError(f"pattern {pattern!r} never fires")


def _first_of(cron: Cron, day: date, zone: tzinfo | None, since: int, best: int | None) -> int | None:
    """The first time of ``day`` after ``since`` and before ``best`` (epoch s), or ``best``."""
    real_time = len(cron.hours) == 24
    for hour in cron.hours:
        for fold in (0, 1) if real_time else (0,):
            local = datetime(day.year, day.month, day.day, hour, tzinfo=zone, fold=fold)
            if local.replace(minute=59, second=59).timestamp() <= since:
                continue
            for minute in cron.minutes:
                local = local.replace(minute=minute)
                start = int(local.timestamp())
                if best is not None and start >= best:
                    break
                if start + 59 > since and not (real_time and _is_skipped(local, start)):
                    best = min((start + second for second in cron.seconds if start + second > since), default=best)
    return best


def _is_skipped(local: datetime, instant: int) -> bool:
    return datetime.fromtimestamp(instant, local.tzinfo).replace(fold=0) != local.replace(fold=0)


@lru_cache(maxsize=1024)
def read_pattern(pattern: str, seed: str = "") -> Cron:
    """Read a pattern. Raises ``ValueError`` saying what is wrong with it."""
    texts = ALIASES.get(pattern, pattern).split()
    if not 1 <= len(texts) <= 6 or len(pattern) > LONGEST_PATTERN:
        raise ValueError(f"pattern {pattern!r:.80} has {len(texts)} fields, not 5 or 6")
    texts = ["0", *"*****"][: 6 - len(texts)] + texts
    numbers = _random_numbers(seed or pattern)
    try:
        seconds, minutes, hours = (_values(texts[place], 0, most, numbers) for place, most in enumerate((59, 59, 23)))
        months = _values(_numbered(texts[4]), 1, 12, numbers)
        days = _values(texts[3], 1, 31, numbers, last=r"\d{0,2}L")
        weekday, _, nth = texts[5].partition("#")
        if nth and (not re.fullmatch("[1-5]", nth) or re.search("[,/-]", weekday)):
            raise ValueError("# takes one day of week, and a number from 1 to 5")
        weekdays = _values(_numbered(weekday), 0, 7, numbers, last=r"\dL")
    except ValueError as error:
        raise ValueError(f"pattern {pattern!r} cannot be read: {error}") from None
