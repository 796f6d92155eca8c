"""Repeat options are read as Node reads them: zones by any name, numbers and dates that came as texts."""

from __future__ import annotations

from typing import Any

import pytest

from auth_worker.core.cron import RepeatStrategy, next_time
from auth_worker.core.repetition import read_repetition
from conformance.node_cron import ask_node, iso_time, ms
from interop.node_side import NodeProcess

ZONE_NAMES = [
    *(
        "utc",
        "UTC",
        "gmt",
        "GMT",
        "Etc/UTC",
        "zulu",
        "UCT",
        "GMT0",
        "etc/gmt-3",
        "Etc/GMT+5",
        "local",
        "SYSTEM",
        "default",
    ),
    *(
        "europe/berlin",
        "EUROPE/BERLIN",
        "us/pacific",
        "asia/kolkata",
        "Asia/Calcutta",
        "europe/kyiv",
        "W-SU",
        "est5edt",
    ),
    *("UTC+3", "utc-05:30", "utc+5", "UTC-0:30", "UTC+14", "UTC+99", "utc+24", "UTC-31", "UTC+05:60", "UTC+05:99"),
    *(
        "act",
        "AET",
        "AGT",
        "ART",
        "AST",
        "BET",
        "BST",
        "CAT",
        "CNT",
        "CST",
        "CTT",
        "EAT",
        "ECT",
        "IET",
        "IST",
        "JST",
    ),
    *("MIT", "NET", "NST", "PLT", "PNT", "PRT", "PST", "SST", "VST", "EST", "MST", "HST", "WET", "MET", "EET"),
    *(60, 0, -330, 90.5, 100_000),
]
NO_ZONES = [
    *(
        "No/Where",
        "../etc",
        "UTC ",
        " utc",
        "UTC-5:3",
        "+3",
        "+24:00",
        "Z",
        "GMT+3",
        "\0",
        "utc\0",
        "0",
        "-",
        "Europe",
    ),
    *(True, [], {}),
]
ZONED_PATTERNS = ("0 8 * * *", "30 2 * * 0", "15 10 1 * *")
ZONE_MOMENTS = ("2026-01-01T00:00:00", "2026-03-28T23:30:00", "2026-07-04T12:34:56")


def test_a_zone_is_the_one_that_node_takes_the_name_for(node_process: NodeProcess) -> None:
    cases: list[tuple[str, dict[str, Any]]] = [
        (moment, {"pattern": pattern, "tz": tz})
        for tz in ZONE_NAMES
        for pattern in ZONED_PATTERNS
        for moment in ZONE_MOMENTS
    ]
    for (moment, repeat), answer in zip(cases, ask_node(cases), strict=True):
        due = next_time(repeat["pattern"], ms(moment), repeat["tz"])
        assert iso_time(due) == iso_time(round(answer, -3)), f"{repeat} at {moment}"


def test_what_node_knows_no_zone_for_is_refused(node_process: NodeProcess) -> None:
    answers = ask_node([(ZONE_MOMENTS[0], {"pattern": "0 8 * * *", "tz": tz}) for tz in NO_ZONES])
    assert all("error" in answer for answer in answers)
    for tz in NO_ZONES:
        with pytest.raises(ValueError, match=r"^tz"):
            next_time("0 8 * * *", 0, tz)


@pytest.mark.parametrize("tz", ["+05:30", "+0530", "-03", "+23:59"])
def test_an_offset_is_a_zone_as_in_later_versions_of_node(tz: str) -> None:
    noon, night = ms("2026-01-01T12:00:00"), ms("2026-01-02T00:00:00")
    assert noon < next_time("0 0 * * *", noon, tz) != night


def test_dates_that_came_as_texts_are_those_that_node_reads(node_process: NodeProcess) -> None:
    dates: list[Any] = [
        *("2026-01-02", "2026-01-02T00:00", "2026-01-02T00:00:00Z", "2026-01-02 00:00:00", "2026", "2026-02"),
        *("2026-01-02 00:00:00+01:00", "Fri, 02 Jan 2026 00:00:00 GMT", "2026-01-02T10:11:12.345+02:00"),
        *(1_767_312_000_000, 1_767_312_000_000.7, "", None, False, 0),
    ]
    start = "2026-01-01T00:00:00"
    repeats = [{"pattern": "0 8 * * *", "startDate": date} for date in dates]
    for repeat, answer in zip(repeats, ask_node([(start, repeat) for repeat in repeats]), strict=True):
        due = RepeatStrategy("nightly")(ms(start), read_repetition(repeat))
        assert iso_time(due or 0) == iso_time(answer), repeat


@pytest.mark.parametrize("date", ["soon", True, [], {}, 1e300, "9" * 17])
def test_what_is_no_date_is_named(date: Any) -> None:
    with pytest.raises(ValueError, match=r"^endDate is not a time"):
        read_repetition({"pattern": "0 8 * * *", "endDate": date})


def test_numbers_that_came_as_texts_count() -> None:
    given = {"every": "60000", "limit": "5", "offset": "10", "count": "2", "endDate": "1767312000000"}
    assert read_repetition(given) == {
        "every": 60_000,
        "limit": 5,
        "offset": 10,
        "count": 2,
        "endDate": 1_767_312_000_000,
    }
    assert read_repetition({"pattern": "@daily", "limit": "many", "offset": "x"}) == {"pattern": "@daily"}


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"every": "often"}, "every"),
        ({"every": "60_000"}, "every"),
        ({"every": True}, "every"),
        ({"every": "inf"}, "every"),
        ({"every": -5}, "every"),
        ({"pattern": 5}, "pattern"),
        ("daily", "repeat"),
    ],
)
def test_a_repeat_option_that_cannot_be_read_is_named(given: Any, name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} "):
        read_repetition(given)
