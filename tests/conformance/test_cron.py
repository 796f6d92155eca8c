"""Cron patterns fire when Node BullMQ's own reader says, in every zone, also when the clocks change."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from auth_worker.core.cron import RepeatStrategy, next_time
from conformance.node_cron import ask_node, iso_time, ms
from interop.node_side import NodeProcess

PATTERNS = (
    """
* * * * *|*/5 * * * *|1-59/2 * * * *|0 * * * *|30 * * * *|*/10 * * * * *|* * * * * *|1/20 * * * *
0 3 * * *|30 2 * * *|*/15 2 * * *|0 2,3 * * *|30 1-3 * * *|0 */2 * * *|15 */3 * * *|0 0 * * *|30 0 * * *
0 23 * * *|45 */12 * * *|5,10 8-10 * * *|0 0-23 * * *|0 12 * * 1-5|0 0 1 * *|0 0 * * 0|0 0 * * 7|0 0 * * SUN
0 0 * * mon-fri|0 0 * * 5-7|0 0 * * */2|0 0 * * 3/2|0 0 L * *|0 0 L 2 *|0 0 L * 1|0 0 15,L * *|0 1 * * 5L
0 0 * * 1,3L|0 0 * * 7L|0 0 * * 1#2|0 0 * * sat#5|0 0 * * MON#5|0 0 1,15 * 1|0 0 1-7 * MON|0 0 */2 * 1
0 0 29 2 *|0 0 12 1/5 * ?|15 10 ? * *|0 0 1 */3 *|30 4 1 jan,JUL *|59 59 23 31 12 *|0 0 0 29-31 * *|1 5|* 5 * *
@yearly|@annually|@monthly|@weekly|@daily|@hourly|@minutely|@secondly|@weekdays|@weekends
H * * * *|H H H * * *|H/5 * * * *|H(0-29)/5 * * * *|0 0 H H *|0 0 * * H#3|H(1-5)/10 * * * *|H(50-100)/60 * * * *
""".strip()
    .replace("\n", "|")
    .split("|")
)
REFUSED = (
    """
* * * * * * *|60 * * * *|5-1 * * * *|*/0 * * * *|1,1 * * * *|1-5,3 * * * *|0 0 * * 0,7|1,,2 * * * *|a * * * *
0 0 * * FOO|0 0 * * L|0 0 * * 1#6|0 0 * * 1,2#1|0 22-2 * * *|0 0 31 2 *|0 0 31 2,4 *|0 0 1W * *|0 0 LW * *|0 1
@midnight|@reboot|never|H(5-1) * * * *|H/0 * * * *|H(0-0)/40 0 H(0-0)/40 * *|1-70 * * * *|1//2 * * * *|-1 * * * *
""".strip()
    .replace("\n", "|")
    .split("|")
)
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "UTC-3",
    None,
]
MOMENTS = {
    "an hour before Berlin's spring": "2026-03-29T00:30:00",
    "before Berlin's autumn": "2026-10-24T23:10:00",
    "Berlin's hour, the first time": "2026-10-25T00:10:05",
    "Berlin's hour, the second time": "2026-10-25T01:10:05",
    "New York's spring": "2026-03-08T06:30:00",
    "New York's autumn": "2026-11-01T05:30:00",
    "Cairo's spring": "2026-04-23T21:30:00",
    "Lord Howe's spring": "2026-10-03T14:50:00",
    "the middle of a second": "2026-11-23T17:30:12.345",
    "before a leap day": "2024-02-28T23:59:59",
}
SKIPPED_MIDNIGHT = "Node leaves out the day on which the clocks skip midnight; ours fires when that day begins"
HALF_AN_HOUR = "where the clocks change by half an hour, Node misses what the change skips; ours moves it on"
REPEATED_HOUR = "asked in the repeated hour, Node fires again what had its turn the first time; ours does not"
DIFFERENT = {
    ("Africa/Cairo", "Cairo's spring"): SKIPPED_MIDNIGHT,
    ("Australia/Lord_Howe", "Lord Howe's spring"): HALF_AN_HOUR,
    ("Europe/Berlin", "Berlin's hour, the second time"): REPEATED_HOUR,
}
SEED = "nightly 🚀"


class Node:
    """What Node's cron-parser answers, for all cases at once."""

    def __init__(self) -> None:
        self._cases: list[tuple[str, str | None, str]] = [
            (pattern, zone, moment) for pattern in PATTERNS for zone in ZONES for moment in MOMENTS
        ] + [(pattern, "UTC", "the middle of a second") for pattern in REFUSED]
        self._answers = ask_node(
            [
                (MOMENTS[moment], {"pattern": pattern, "hashSeed": SEED, **({"tz": zone} if zone else {})})
                for pattern, zone, moment in self._cases
            ]
        )

    def answers(self, pattern: str) -> Iterator[tuple[str | None, str, Any]]:
        for (asked, zone, moment), answer in zip(self._cases, self._answers, strict=True):
            if asked == pattern:
                yield zone, moment, answer


@pytest.fixture(scope="module")
def node_cron(node_process: NodeProcess) -> Node:
    return Node()


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_fires_when_node_says(pattern: str, node_cron: Node) -> None:
    for zone, moment, expected in node_cron.answers(pattern):
        due = next_time(pattern, ms(MOMENTS[moment]), zone, SEED)
        if (zone, moment) in DIFFERENT:
            assert due > ms(MOMENTS[moment])
        else:
            assert iso_time(due) == iso_time(expected), f"{zone}, {moment}"


@pytest.mark.parametrize("place", DIFFERENT, ids=lambda place: place[0])
def test_a_difference_is_still_one(place: tuple[str, str], node_cron: Node) -> None:
    different = [
        pattern
        for pattern in PATTERNS
        for zone, moment, answer in node_cron.answers(pattern)
        if (zone, moment) == place and next_time(pattern, ms(MOMENTS[moment]), zone, SEED) != answer
    ]
    assert different, f"{DIFFERENT[place]}: Node does not any more"


@pytest.mark.parametrize("pattern", REFUSED)
def test_what_node_cannot_read_is_refused(pattern: str, node_cron: Node) -> None:
    assert all(answer is None or "error" in answer for _, _, answer in node_cron.answers(pattern))
    with pytest.raises(ValueError, match=r"pattern '.*' (cannot be read|has \d fields|never fires)"):
        next_time(pattern, ms("2026-01-01T00:00:00"), "UTC", SEED)


@pytest.mark.parametrize(
    ("pattern", "zone", "moment", "due"),
    [
        ("30 2 * * *", "Europe/Berlin", "2026-03-29T00:30:00", "2026-03-29T01:30:00+00:00"),
        ("*/20 2 * * *", "Europe/Berlin", "2026-03-29T00:30:00", "2026-03-29T01:00:00+00:00"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00", "2026-10-26T01:30:00+00:00"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00", "2026-10-26T01:30:00+00:00"),
        ("0 * * * *", "Europe/Berlin", "2026-10-25T00:10:00", "2026-10-25T01:00:00+00:00"),
        ("0 0 * * *", "Africa/Cairo", "2026-04-23T21:30:00", "2026-04-23T22:00:00+00:00"),
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T14:50:00", "2026-10-03T15:45:00+00:00"),
        ("15,40 2 * * *", "Australia/Lord_Howe", "2026-10-03T14:50:00", "2026-10-03T15:40:00+00:00"),
        ("*/15 * * * *", "Australia/Lord_Howe", "2026-04-04T14:50:00", "2026-04-04T15:00:00+00:00"),
    ],
)
def test_when_the_clocks_change(pattern: str, zone: str, moment: str, due: str) -> None:
    assert iso_time(next_time(pattern, ms(moment), zone)) == due


def test_a_day_that_comes_once_in_28_years_is_found() -> None:
    assert iso_time(next_time("0 0 * FEB 1#5", ms("2026-01-01T00:00:00"), "UTC")) == "2044-02-29T00:00:00+00:00"


def test_a_repeated_half_hour_counts_where_all_hours_do() -> None:
    due = [ms("2026-04-04T14:20:00")]
    for _ in range(5):
        due.append(next_time("*/15 * * * *", due[-1], "Australia/Lord_Howe"))
    assert [(after - before) / 60_000 for before, after in pairwise(due[1:])] == [15] * 4


def test_without_a_zone_the_machines_own_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        due = [next_time("30 2 * * *", ms(moment)) for moment in ("2026-03-29T00:30:00", "2026-10-24T20:00:00")]
    finally:
        monkeypatch.undo()
        time.tzset()
    assert [iso_time(each) for each in due] == ["2026-03-29T01:30:00+00:00", "2026-10-25T00:30:00+00:00"]


@pytest.mark.parametrize("zone", ["No/Where", "../etc", "UTC+3:5", "\0"])
def test_an_unknown_zone_is_refused(zone: str) -> None:
    with pytest.raises(ValueError, match="time zone"):
        next_time("* * * * *", 0, zone)


def test_an_h_is_the_same_in_every_iteration_and_differs_between_schedulers() -> None:
    start = ms("2026-01-01T00:00:00")
    repeat = {"pattern": "H H * * *", "tz": "UTC"}
    first = [RepeatStrategy(f"scheduler {number}")(start, repeat) for number in range(20)]
    assert len(set(first)) > 10
    again = RepeatStrategy("scheduler 3")(first[3] or 0, repeat)
    assert again == (first[3] or 0) + 86_400_000


def test_dates_bound_a_scheduler() -> None:
    start, later = ms("2026-01-01T00:00:00"), ms("2026-02-01T00:00:00")
    strategy = RepeatStrategy("nightly")
    daily = {"pattern": "0 3 * * *", "tz": "UTC"}
    assert strategy(start, {**daily, "startDate": later}) == later + 3 * 3_600_000
    assert strategy(later, {**daily, "startDate": start}) == later + 3 * 3_600_000
    assert strategy(start, {**daily, "endDate": start + 3 * 3_600_000}) == start + 3 * 3_600_000
    assert strategy(start, {**daily, "endDate": start + 3 * 3_600_000 - 1}) is None
    assert abs((strategy(start, {**daily, "immediately": True}) or 0) - time.time() * 1000) < 10_000
    with pytest.raises(ValueError, match="startDate"):
        strategy(start, {**daily, "startDate": 10**300})
