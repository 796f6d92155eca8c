"""Conditions on a job's data hold or do not; nothing that is written in one is an error later."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from auth_worker.admin.job_conditions import Condition, glob_matches, literal_of, literal_pattern
from auth_worker.admin.selection import DeadLetterFilter, JobFilter
from auth_worker.brokers.redis.jobs import stored_job
from auth_worker.cli.parsers import age_s, backoff, deduplication, duration_ms, json_value, rate_per_s, retention
from auth_worker.core.dead_letter import DeadLetter
from auth_worker.errors import ConfigurationError

FIELDS = {"data": {"list": [1, 2], "a": {"b": "c"}}}
PIECES = st.sampled_from(
    ["²", "١٢", "9" * 20, "9" * 5000, "nan", "inf", "1e999", "1_000", "-1", "[" * 3000, "s", "."]
)
TEXTS = st.one_of(st.text(), st.lists(PIECES, max_size=4).map("".join))


@pytest.mark.parametrize("index", ["²", "9" * 20, "9" * 5000, "١", "-1", "1_0", "+1"])
def test_a_path_that_is_no_index_of_a_list_finds_nothing(index: str) -> None:
    assert not Condition.of(f"data.list.{index}=1").holds(FIELDS)


@given(st.lists(TEXTS, min_size=1, max_size=3), TEXTS)
def test_a_condition_is_refused_or_has_an_answer(path: list[str], value: str) -> None:
    with contextlib.suppress(ConfigurationError):
        Condition.of(f"list.{'.'.join(path)}={value}").holds(FIELDS)


@given(TEXTS | st.text(st.sampled_from("\\\\*a")))
def test_a_literal_pattern_matches_its_text_alone(text: str) -> None:
    assert literal_of(literal_pattern(text)) == text
    assert glob_matches(literal_pattern(text), text)


@given(TEXTS)
def test_an_age_is_compared_with_whatever_a_job_has_for_its_time(stamp: str) -> None:
    job = stored_job("1", {b"timestamp": stamp.encode(errors="surrogatepass")})
    JobFilter(older_than=1).matches(job, 10**12)
    JobFilter(newer_than=1).matches(job, 10**12)


@pytest.mark.parametrize(
    "parse",
    [duration_ms, age_s, rate_per_s, backoff, retention, deduplication, json_value],
    ids=lambda f: f.__name__,
)
@given(text=TEXTS)
def test_an_invalid_flag_is_a_usage_error(parse: Callable[[str], object], text: str) -> None:
    with contextlib.suppress(typer.BadParameter):
        parse(text)


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("*@example.org", "ada@example.org", True),
        ("*@example.org", "ada@example.com", False),
        ("a*a", "a", False),
        ("a*b*c", "a--b--c", True),
        ("*", "", True),
        ("", "x", False),
        (r"5\*", "5*", True),
        (r"5\*", "55", False),
        (r"C:\\*", "C:\\temp", True),
        (r"\\server\x", r"\\server\x", True),
        ("what?[a]", "what?[a]", True),
        ("what?", "whats", False),
        ("a*" * 500, "a" * 100_000 + "b", True),
        ("a*" * 500 + "c", "a" * 100_000, False),
    ],
)
def test_a_star_stands_for_anything_and_an_escaped_one_for_itself(pattern: str, text: str, matches: bool) -> None:
    assert glob_matches(pattern, text) is matches


def test_a_star_in_a_condition_stands_for_text_or_number_but_not_for_structure() -> None:
    fields = {"data": {"email": "ada@example.org", "id": 123, "list": [1], "none": None}}
    held = ("email=*@example.org", "id=12*", "list.0=*", "list=[1]")
    assert [text for text in held if not Condition.of(text).holds(fields)] == []
    assert [text for text in ("id=2*", "list=*", "none=*", "gone=*") if Condition.of(text).holds(fields)] == []


def test_letters_are_found_by_name_and_data() -> None:
    letter = DeadLetter("q@1@2", "welcome-mail", {"data": {"to": "ada@example.org"}, "opts": {"attempts": 3}}, 0)
    for wanted, found in (
        (DeadLetterFilter(name="welcome-*"), True),
        (DeadLetterFilter(name="welcome"), False),
        (DeadLetterFilter(where=(Condition.of("data.to=*@example.org"), Condition.of("opts.attempts=3"))), True),
        (DeadLetterFilter(where=(Condition.of("data.to=*@example.com"),)), False),
    ):
        assert wanted.restricts
        assert wanted.matches(letter, 0) is found
