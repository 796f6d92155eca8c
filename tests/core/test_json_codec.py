"""How JSON is stored."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from auth_worker.cli.formatting import pretty
from auth_worker.config import Settings
from auth_worker.core.decisions import decide_result
from auth_worker.core.json_codec import decode_json, decode_json_bytes, encode_json
from auth_worker.core.outcome import Complete, Fail
from auth_worker.core.terminal_text import ascii_json
from auth_worker.observability.logs import logger_of, open_log
from auth_worker.observability.logs.sink import sink_of


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


PARTS = [
    *rb'{ } [ ] , : " \ - 0 1 . e E + true null NaN -Infinity 1e999 -0 -0.0 5e-324 0.1'.split(),
    *rb'"a" \ud800 "\ud800" "\ud83d\ude00" \u {"a":1,"a":2} 9999999999999999999999999'.split(),
    *(b" ", b"\n", b"\0", b"\x7f", b"\xff", b"\xc3\xa9", b"\xed\xa0\x80"),
]
DEEP = [b"[" * depth + b"]" * depth for depth in (150, 500)]
WHOLE = [b"1" * 400, b"1" * 5000, *DEEP, b"\xef\xbb\xbf1", b"9007199254740993"]


@given(st.lists(st.sampled_from(PARTS), max_size=12).map(b"".join) | st.sampled_from(WHOLE))
@example(b'{"a":1,"b":[-0.0,1E+5,null],"a":"\xc3\xa9"}')
@settings(max_examples=2000, deadline=None)
def test_bytes_mean_the_same_to_both_parsers(body: bytes) -> None:
    assert _shown(decode_json_bytes, body) == _shown(lambda body: decode_json(body.decode()), body)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_is_read_exactly(number: float) -> None:
    for text in (repr(number), f"{number:.25e}"):
        assert decode_json_bytes(text.encode()).hex() == number.hex()


def _shown(decode: Callable[[bytes], Any], body: bytes) -> str:
    """What comes of a body; ``repr`` tells 1 from 1.0 and True, and shows the order of keys."""
    try:
        return repr(decode(body))
    except (ValueError, RecursionError) as error:
        return type(error).__name__


def test_a_result_is_counted_in_bytes_of_utf_8() -> None:
    assert isinstance(decide_result("я" * 49, max_bytes=100), Complete)
    outcome = decide_result("я" * 50, max_bytes=100)
    assert isinstance(outcome, Fail)
    assert "has 102 bytes" in outcome.reason


ODD = [math.nan, math.inf, -math.inf, 10**5000, -(10**5000)]
ODD_NAMES = ["nan", "infinite", "negative infinite", "5001 digits", "negative 5001 digits"]


def refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


@pytest.mark.parametrize("number", ODD, ids=ODD_NAMES)
@pytest.mark.parametrize("write", [ascii_json, pretty])
def test_a_number_that_json_cannot_represent_is_null(number: Any, write: Callable[[Any], str]) -> None:
    value = {"a": number, "b": [1, (number, {"c": number})], "d": 2.5, "e": True}
    assert json.loads(write(value), parse_constant=refuse_constant) == {
        "a": None,
        "b": [1, [None, {"c": None}]],
        "d": 2.5,
        "e": True,
    }
    assert json.loads(write(number), parse_constant=refuse_constant) is None


def test_a_key_or_an_object_becomes_text_not_a_number() -> None:
    assert json.loads(ascii_json({math.nan: {1}, "x": math.nan})) == {"nan": "{1}", "x": None}
    assert json.loads(ascii_json([object, math.nan], default=lambda _: math.inf)) == [None, None]


@pytest.mark.parametrize("number", ODD, ids=ODD_NAMES)
@pytest.mark.parametrize("form", ["json", "console"])
def test_a_line_of_the_log_with_such_a_number_is_written(number: Any, form: Any) -> None:
    for open_logger in (lambda *given: open_log(*given).logger, logger_of):
        stream = io.StringIO()
        settings = Settings(log_format=form, http_port=None)
        open_logger(None, settings, stream).info("measured", ratio=number, all=[number])
        sink_of(stream).drain()
        assert "measured" in stream.getvalue()
        if form == "json":
            line = json.loads(stream.getvalue(), parse_constant=refuse_constant)
            shown = f"(a number of {number.bit_length()} bits)" if isinstance(number, int) else None
            assert (line["event"], line["ratio"], line["all"]) == ("measured", shown, [shown])
