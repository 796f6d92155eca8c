"""Failures that differ in numbers, ids and quotations alone are one group."""

from __future__ import annotations

import pytest

from auth_worker.admin.error_groups import normalized


@pytest.mark.parametrize(
    ("one", "other", "group"),
    [
        ("KeyError: 'ada'", 'KeyError: "bob"', "KeyError: <text>"),
        ("smtp.Error4: 421 after 3.5 s", "smtp.Error4: 450 after 12 s", "smtp.Error4: <number> after <number> s"),
        ("job 4f1cdeadbeef gone", "job 0x7f gone", "job <hex> gone"),
        (
            "E: 123e4567-e89b-12d3-a456-426614174000",
            "E: 00000000-e89b-12d3-a456-426614174000",
            "E: ***",
        ),
    ],
)
def test_what_differs_alone_in_values_is_one_group(one: str, other: str, group: str) -> None:
    assert (normalized(one), normalized(other)) == (group, group)


def test_types_tell_groups_apart() -> None:
    assert normalized("TimeoutError: 3") != normalized("ValueError: 3")
