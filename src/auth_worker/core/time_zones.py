"""Finds time zones by the names that Node BullMQ accepts in a scheduler's ``tz``.

Source: normalizeZone and FixedOffsetZone of luxon, with which Node's cron-parser reads them, and the names that
JavaScript's Intl knows: IANA's in any case, ICU's old three-letter ones, and offsets such as +05:30 (from Node 22
on).
"""

from __future__ import annotations

import re
from datetime import timedelta, timezone, tzinfo
from functools import cache, lru_cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, available_timezones

_UTC_OFFSET = re.compile(r"utc([+-])(\d{1,2})(?::(\d\d))?", re.ASCII)
_OFFSET = re.compile(r"([+-])([01]\d|2[0-3])(?::?([0-5]\d))?", re.ASCII)
_OWN_ZONE = ("", "default", "local", "system")
_DAY_S = 86_400
_LONGEST_NAME = 100
_SHORT_NAMES = {
    "act": "Australia/Darwin",
    "aet": "Australia/Sydney",
    "agt": "America/Argentina/Buenos_Aires",
    "art": "Africa/Cairo",
    "ast": "America/Anchorage",
    "bet": "America/Sao_Paulo",
    "bst": "Asia/Dhaka",
    "cat": "Africa/Maputo",
    "cnt": "America/St_Johns",
    "cst": "America/Chicago",
    "ctt": "Asia/Shanghai",
    "eat": "Africa/Nairobi",
    "ect": "Europe/Paris",
    "iet": "America/Indiana/Indianapolis",
    "ist": "Asia/Kolkata",
    "jst": "Asia/Tokyo",
    "mit": "Pacific/Apia",
    "net": "Asia/Yerevan",
    "nst": "Pacific/Auckland",
    "plt": "Asia/Karachi",
    "pnt": "America/Phoenix",
    "prt": "America/Puerto_Rico",
    "pst": "America/Los_Angeles",
    "sst": "Pacific/Guadalcanal",
    "vst": "Asia/Ho_Chi_Minh",
}
"""ICU's names that IANA does not have."""


class Zone(NamedTuple):
    """A time zone: ``info`` (None: the machine's), and ``days_s``, whole days (in s) that its clock is ahead.

    luxon accepts offsets of any size, ``datetime`` only those below a day.
    """

    info: tzinfo | None
    days_s: int = 0


def find_zone(tz: Any) -> Zone:
    """Return the zone that ``tz`` names: a text, or a number of minutes ahead of UTC. None is the machine's own.

    Raises ``ValueError`` if it names no zone.
    """
    if tz is None:
        return Zone(None)
    if isinstance(tz, int | float) and not isinstance(tz, bool):
        return _fixed(tz)
    if not isinstance(tz, str):
        raise ValueError(f"tz is a {type(tz).__name__}, not the name of a time zone")
    return _named(tz)


@lru_cache(maxsize=1024)
def _named(name: str) -> Zone:
    lowered = name.lower()
    if lowered in _OWN_ZONE:
        return Zone(None)
    if lowered in ("utc", "gmt"):
        return _fixed(0)
    if offset := _UTC_OFFSET.fullmatch(lowered) or _OFFSET.fullmatch(lowered):
        minutes = int(offset[2]) * 60 + int(offset[3] or 0)
        return _fixed(-minutes if offset[1] == "-" else minutes)
    found = _SHORT_NAMES.get(lowered) or _iana_names().get(lowered)
    if found is None:
        hint = "" if _iana_names() else "; this machine has no time zone database: install the package tzdata"
        raise ValueError(f"tz: time zone {name[:_LONGEST_NAME]!r} is not known{hint}")
    return Zone(ZoneInfo(found))


def _fixed(minutes: float) -> Zone:
    """Return the zone that is ``minutes`` ahead of UTC."""
    try:
        days, seconds = divmod(round(minutes * 60), _DAY_S)
    except (OverflowError, ValueError):
        raise ValueError("tz is not a number of minutes") from None
    return Zone(timezone(timedelta(seconds=seconds)), days * _DAY_S)


@cache
def _iana_names() -> dict[str, str]:
    """Return IANA's names by their lower-case form."""
    return {name.lower(): name for name in available_timezones()}
