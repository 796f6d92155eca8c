"""Reads the repeat options of a job scheduler, with numbers and dates in texts coerced as by JavaScript.

Source: Node's JobScheduler.upsertJobScheduler, which compares and computes with the values it was given, and
parses dates with ``new Date(...)``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from auth_worker.core.coercion import number_of
from auth_worker.core.cron import RepeatStrategy

REMEDY = "correct it with JobQueue.upsert_job_scheduler or Node's upsertJobScheduler"
"""What to do about a job scheduler that cannot be read."""
_NUMBERS = ("every", "offset", "count")
_DATES = ("startDate", "endDate")
_DATE_ALONE = re.compile(r"\d{4}(?:-\d\d(?:-\d\d)?)?", re.ASCII)
_EPOCH = re.compile(r"-?\d{5,17}(?:\.\d+)?", re.ASCII)
_LATEST = 8_640_000_000_000_000
"""The latest time that JavaScript's Date can hold, in epoch ms."""


def read_repetition(given: Any) -> dict[str, Any]:
    """Return the repeat options ``given``, with numbers as numbers and dates as epoch ms.

    Raises ``ValueError`` that starts with the name of the option that cannot be read.
    """
    if not isinstance(given, Mapping):
        raise ValueError(f"repeat is a {type(given).__name__}, not an object")
    repeat = dict(given)
    if not repeat.get("every"):
        repeat.pop("offset", None)  # has a meaning only with every
    for name in _NUMBERS:
        repeat[name] = _number(name, repeat.get(name))
    repeat["limit"] = _limit(repeat.get("limit"))
    for name in _DATES:
        repeat[name] = _epoch_ms(name, repeat.get(name))
    if repeat.get("pattern") and not isinstance(repeat["pattern"], str):
        raise ValueError(f"pattern is a {type(repeat['pattern']).__name__}, not a text")
    if repeat.get("every") is not None and repeat["every"] < 0:
        raise ValueError("every is below 0")
    return {name: value for name, value in repeat.items() if value is not None}


def new_repetition(given: Any) -> dict[str, Any]:
    """Return the repeat options of a job scheduler that is to be made, as ``read_repetition`` does.

    Raises ``ValueError``. Source: ``JobScheduler.upsertJobScheduler``.
    """
    repeat = read_repetition(given)
    if bool(repeat.get("pattern")) == bool(repeat.get("every")):
        raise ValueError("it needs either a pattern or every")
    if repeat.get("immediately") and "startDate" in repeat:
        raise ValueError("immediately and start_date cannot be used together")
    return repeat


def coming_times(scheduler_id: str, due: int, repeat: Mapping[str, Any], now: int, most: int) -> list[int]:
    """Return the next ``most`` times of a job scheduler (epoch ms), of which ``due`` is the first.

    Those after it are after ``now`` too, as a run that is missed is not caught up on. ``repeat`` is as read by
    ``read_repetition``. Raises ``ValueError`` for a pattern that cannot be read.
    """
    left = most if repeat.get("limit") is None else min(most, 1 + max(repeat["limit"] - repeat.get("count", 0), 0))
    found = [due]
    while len(found) < left:
        last, every, end = found[-1], repeat.get("every"), repeat.get("endDate")
        if every:
            following: int | None = last + every * max((now - last) // every + 1, 1)
        else:
            timed = {name: value for name, value in repeat.items() if name != "immediately"}
            following = RepeatStrategy(scheduler_id)(max(last, now), timed)
        if following is None or (end is not None and following > end):
            break
        found.append(following)
    return found


def _number(name: str, value: Any) -> int | None:
    if value is None or value == "":
        return None
    number = math.nan if isinstance(value, bool) else number_of(value)
    if not math.isfinite(number):
        raise ValueError(f"{name} is not a number")
    return int(number)


def _limit(value: Any) -> int | None:
    """Return the number of iterations. What is not a number sets no limit, as a comparison in JavaScript."""
    try:
        return _number("limit", value)
    except ValueError:
        return None


def _epoch_ms(name: str, value: Any) -> int | None:
    """Read a date as epoch ms: a number, ISO 8601 or RFC 2822. A date without a time is UTC, as in JavaScript."""
    if value is None or value is False or value == "":
        return None
    try:
        if isinstance(value, str):
            moment = float(value) if _EPOCH.fullmatch(value) else _parsed(value.strip()).timestamp() * 1000
        elif isinstance(value, int | float) and not isinstance(value, bool):
            moment = value
        else:
            raise TypeError
        if abs(moment) > _LATEST:
            raise ValueError
        return int(moment)
    except (TypeError, ValueError, OverflowError, OSError):
        raise ValueError(f"{name} is not a time: give epoch ms or ISO 8601") from None


def _parsed(text: str) -> datetime:
    if _DATE_ALONE.fullmatch(text):
        year, month, day = (int(part) for part in f"{text}-01-01".split("-")[:3])
        return datetime(year, month, day, tzinfo=UTC)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return parsedate_to_datetime(text)
