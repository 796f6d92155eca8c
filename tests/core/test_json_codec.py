"""How JSON is stored."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from enum import IntEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from auth_worker.cli.formatting import pretty
from auth_worker.config import Settings
from auth_worker.core.decisions import decide_result
from auth_worker.core.json_codec import decode_json, decode_json_bytes, encode_data, encode_json
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
@settings(max_examples=600, deadline=None)
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


KEYS = st.text() | st.integers() | st.floats() | st.booleans() | st.none()
ATOMS = KEYS | st.text(st.characters()) | st.sampled_from([10**30, 1e-5, 1e16, -0.0, "NaN", '"None":', "Infinity"])


class Text(str):
    __slots__ = ()


class Number(IntEnum):
    ONE = 1


FOREIGN = [
    *({1}, b"x", bytearray(b"x"), 1j, Decimal(1), UUID(int=1), date.min, timedelta(1), ..., object, range(3)),
    *({(1,): 1}, {b"x": 1}, {None: 1}, {math.nan: 1}, {-math.inf: 1}, {Text("a"): 1}, {Number.ONE: 1}),
    *((1, 2), Text("a"), Number.ONE, {"None": 1}, {"nan": 1.5}, {"inf": None}),
]


MANY = ["x"] * 20
"""What makes a value large, so that the encoder for those has it."""


def values_of(atoms: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        atoms,
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.dictionaries(KEYS, inner),
        max_leaves=20,
    )


@given(values_of(ATOMS) | values_of(ATOMS | st.sampled_from(FOREIGN)))
@settings(max_examples=300, deadline=None)
def test_both_encoders_write_the_same(value: Any) -> None:
    for each in (value, [value, *MANY]):
        assert _written(encode_json, each) == _written(encode_data, each) == _written(python_encoder, each)


@pytest.mark.parametrize("before", [0, 1, 1999, 2000, 4000])
@pytest.mark.parametrize("digits", [1999, 2001, 4300, 4301, 9000])
def test_an_integer_that_cannot_be_read_is_not_written(before: int, digits: int) -> None:
    value = ["x" * before, 10 ** (digits - 1), *MANY]
    assert _written(encode_json, value) == _written(python_encoder, value)


@pytest.mark.parametrize("depth", [100, 250, 260, 500, 5000])
def test_both_encoders_write_the_same_depth(depth: int) -> None:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    for each in (value, [value, *MANY]):
        assert _written(encode_json, each) == _written(python_encoder, each)


def test_a_circular_reference_is_refused() -> None:
    value: list[Any] = []
    value += [value] * 100_000
    with pytest.raises(ValueError, match="Circular"):
        encode_json({"a": value})


def python_encoder(value: Any) -> bytes:
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return text.encode(errors="backslashreplace")


def _written(encode: Callable[[Any], bytes], value: Any) -> str:
    """What is read back from what is written; some numbers have two forms, such as 1e-05 and 0.00001."""
    try:
        return repr(decode_json_bytes(encode(value)))
    except (TypeError, ValueError, RecursionError) as error:
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
