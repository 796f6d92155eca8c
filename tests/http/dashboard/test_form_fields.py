"""What the fields of a form carry comes back as it was."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_worker.http.dashboard.form_fields import decoded, unchanged_field


def sent(name: str, value: str) -> tuple[str, str]:
    """The field as a browser sends it, which changes line ends and more."""
    match = re.fullmatch(r'name="([^"]*)" value="([^"]*)"', str(unchanged_field(name, value)), re.DOTALL)
    assert match is not None
    return match[1], re.sub(r"\r\n?|\n", "\r\n", html.unescape(match[2])).replace("\0", "\ufffd")


@given(st.text(st.characters(codec=None)))
def test_a_value_of_any_characters_comes_back(value: str) -> None:
    name, text = sent("ids", value)
    assert decoded({name: [text]}) == {"ids": [value]}
    assert text.isprintable() or name == "ids"


def test_plain_and_encoded_values_of_a_field_come_together() -> None:
    assert decoded({"ids": ["a%0A"], "ids*": ["b%0A"]}) == {"ids": ["a%0A", "b\n"]}


@pytest.mark.parametrize("text", ["%", "%ff", "%ED%B2", "%zz", "\n"])
def test_a_value_that_is_not_encoded_well_is_no_error(text: str) -> None:
    assert isinstance(decoded({"ids*": [text]})["ids"][0], str)
