"""The repeat options of a job scheduler, with numbers and dates that came as texts read as JavaScript reads them.

Source: Node's JobScheduler.upsertJobScheduler, which compares and computes with what it was given, and makes dates
with ``new Date(...)``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from auth_worker.coercion import number_of

_NUMBERS = ("every", "offset", "count")
_DATES = ("startDate", "endDate")
_DATE_ALONE = re.compile(r"\d{4}(?:-\d\d(?:-\d\d)?)?", re.ASCII)
_EPOCH = re.compile(r"-?\d{5,17}(?:\.\d+)?", re.ASCII)
_LATEST = 8_640_000_000_000_000
"""The latest time that JavaScript's Date takes, in epoch ms."""


def read_repetition(given: Any) -> dict[str, Any]:
    """``given`` with numbers for what is a number, and epoch ms for dates.

    Raises ``ValueError`` that begins with the name of the option which cannot be read.
    """
    if not isinstance(given, Mapping):
        raise ValueError(f"repeat is a {type(given).__name__}, not an object")
    repeat = dict(given)
    if not repeat.get("every"):
        repeat.pop("offset", None)  # counts only there
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


def _number(name: str, value: Any) -> int | None:
    if value is None or value == "":
        return None
    number = math.nan if isinstance(value, bool) else number_of(value)
    if not math.isfinite(number):
        raise ValueError(f"{name} is not a number")
    return int(number)


def _limit(value: Any) -> int | None:
    """How many iterations there are to be; what is no number bounds nothing, as a comparison in JavaScript."""
    try:
        return _number("limit", value)
    except ValueError:
        return None


def _epoch_ms(name: str, value: Any) -> int | None:
    """A date as epoch ms: a number, ISO 8601 or RFC 2822. As in JavaScript a date alone is one of UTC."""
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
        raise ValueError(f"{name} is no time: give epoch ms or ISO 8601") from None


def _parsed(text: str) -> datetime:
    if _DATE_ALONE.fullmatch(text):
        year, month, day = (int(part) for part in f"{text}-01-01".split("-")[:3])
        return datetime(year, month, day, tzinfo=UTC)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return parsedate_to_datetime(text)
