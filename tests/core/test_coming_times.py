"""When a job scheduler runs next: its current iteration, and those after it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from auth_worker.core.repetition import coming_times

HOUR = 3_600_000
NOW = round(datetime(2026, 3, 28, 12, tzinfo=UTC).timestamp() * 1000)


def test_every_so_often() -> None:
    assert coming_times("s", NOW + 5, {"every": HOUR}, NOW, 3) == [NOW + 5, NOW + 5 + HOUR, NOW + 5 + 2 * HOUR]


def test_what_was_missed_is_not_caught_up_on() -> None:
    due = NOW - 10 * HOUR
    assert coming_times("s", due, {"every": HOUR}, NOW, 3) == [due, NOW + HOUR, NOW + 2 * HOUR]
    found = coming_times("s", due, {"pattern": "0 3 * * *", "tz": "UTC"}, NOW, 3)
    assert [datetime.fromtimestamp(at / 1000, UTC).isoformat() for at in found[1:]] == [
        "2026-03-29T03:00:00+00:00",
        "2026-03-30T03:00:00+00:00",
    ]


def test_a_pattern_follows_its_zone_over_a_change_of_the_clock() -> None:
    found = coming_times("s", NOW, {"pattern": "0 3 * * *", "tz": "Europe/Berlin", "immediately": True}, NOW, 3)
    assert [datetime.fromtimestamp(at / 1000, UTC).hour for at in found] == [12, 1, 1]


@pytest.mark.parametrize(
    ("repeat", "count"),
    [
        ({"limit": 3, "count": 3}, 1),
        ({"limit": 3, "count": 2}, 2),
        ({"limit": 9, "count": 2}, 5),
        ({"endDate": NOW + 2 * HOUR}, 3),
        ({"endDate": NOW - 1}, 1),
    ],
)
def test_it_ends_with_its_limit_and_its_end(repeat: dict[str, int], count: int) -> None:
    assert len(coming_times("s", NOW, {"every": HOUR, **repeat}, NOW, 5)) == count
    assert len(coming_times("s", NOW, {"pattern": "0 * * * *", "tz": "UTC", **repeat}, NOW, 5)) == count
