"""What is searched for is read as it was written, or refused with what is wrong."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_worker.admin.job_conditions import Condition
from auth_worker.admin.search_query import QUALIFIERS, SearchQuery, parse_query
from auth_worker.admin.selection import JobFilter
from auth_worker.core.ports.values import STATES
from auth_worker.errors import ConfigurationError

VALUES = st.text(min_size=1, max_size=20)
PATHS = st.lists(st.from_regex(r"[a-zA-Z0-9_]{1,8}", fullmatch=True), min_size=1, max_size=3)
PIECES = st.sampled_from(
    [*(f"{name}:" for name in QUALIFIERS), '"', "\\", "data.a=", " ", "a", "1h", "*", ":", "="]
)


def quoted(text: str) -> str:
    """Write ``text`` as the value of a qualifier."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(
    given=st.fixed_dictionaries({}, optional=dict.fromkeys(("queue", "id", "name", "error", "worker"), VALUES)),
    state=st.none() | st.sampled_from(STATES),
    older=st.none() | st.integers(0, 10**6),
    newer=st.none() | st.integers(0, 10**6),
    where=st.lists(st.tuples(PATHS, VALUES), max_size=3),
    order=st.randoms(use_true_random=False),
)
def test_every_qualifier_says_what_was_written_in_any_order(
    given: dict[str, str],
    state: str | None,
    older: int | None,
    newer: int | None,
    where: list[tuple[list[str], str]],
    order: object,
) -> None:
    words = [f"{key}:{quoted(value)}" for key, value in given.items()]
    words += [f"state:{state}"] * (state is not None) + [f"older:{older}s"] * (older is not None)
    words += [f"newer:{newer}s"] * (newer is not None)
    order.shuffle(words)  # type: ignore[attr-defined]
    words += [f"data.{'.'.join(path)}={quoted(value)}" for path, value in where]
    assert parse_query("  ".join(words)) == SearchQuery(
        queue=given.get("queue"),
        state=state,
        filter=JobFilter(
            id=given.get("id"),
            name=given.get("name"),
            text=given.get("error"),
            worker=given.get("worker"),
            older_than=older,
            newer_than=newer,
            where=tuple(Condition(path=("data", *path), text=value) for path, value in where),
        ),
    )


@given(st.text(max_size=50) | st.lists(PIECES, max_size=12).map("".join))
def test_any_text_is_a_query_or_refused(text: str) -> None:
    with contextlib.suppress(ConfigurationError):
        parse_query(text)


@given(VALUES)
def test_a_quoted_text_is_an_id_whatever_it_has_in_it(text: str) -> None:
    assert parse_query(quoted(text)) == SearchQuery(text=text, filter=JobFilter(id=text))


@given(st.integers())
def test_a_number_stays_exact(number: int) -> None:
    wanted = parse_query(f"data.user.id={number}").filter.where
    assert all(condition.holds({"data": {"user": {"id": number}}}) for condition in wanted)
    assert not any(condition.holds({"data": {"user": {"id": number + 1}}}) for condition in wanted)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("quue:mail", "did you mean queue:?"),
        ("state:faild", "did you mean failed?"),
        ("dta.user.id=12", "did you mean data.?"),
        ("state:failed state:active", "state: is given twice"),
        ("queue: state:failed", "queue: has no value"),
        ('name:"welcome', "a quotation mark is not closed"),
        ("older:soon", "is not a duration such as"),
        ("newer:soon", "newer: 'soon' is not a duration"),
        ("a id:b", "id: is given too"),
        ("data..id=1", "is not a condition"),
        ("x" * 1001, "at most 1000 characters"),
        (" ".join(f"data.a={number}" for number in range(21)), "at most 20 conditions"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_nearest(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse_query(text)
    assert said in str(refused.value)
