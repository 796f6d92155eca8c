"""How JSON is stored."""

from __future__ import annotations

import json
from typing import Any

import pytest

from auth_worker.outcome import Complete, Fail, decide_result, encode_json


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("Привет", '"Привет"'),
        ({"имя": "Zoë 🚀\u2028"}, '{"имя":"Zoë 🚀\u2028"}'),
        ("\ud800", '"\\ud800"'),
        ("back\\\udfff", '"back\\\\\\udfff"'),
        ("\0\x1f\x7f", '"\\u0000\\u001f\x7f"'),
    ],
)
def test_json_is_utf_8_with_lone_surrogates_escaped(value: Any, stored: str) -> None:
    assert encode_json(value) == stored.encode()
    assert json.loads(encode_json(value)) == value


def test_a_result_is_counted_in_bytes_of_utf_8() -> None:
    assert isinstance(decide_result("я" * 49, max_bytes=100), Complete)
    outcome = decide_result("я" * 50, max_bytes=100)
    assert isinstance(outcome, Fail)
    assert "has 102 bytes" in outcome.reason
