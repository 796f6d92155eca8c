"""Untrusted text can neither control a terminal nor hide in it, and stays readable."""

from __future__ import annotations

import io
import json
import logging
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_worker.core.terminal_text import ascii_json, visible, visible_lines
from auth_worker.observability.logs.logger import renderer
from auth_worker.observability.logs.sink import LineSink
from auth_worker.observability.logs.stdlib import SinkHandler, _formatter

ORDERS = "\x1b]0;PWNED\x07\x1b[2J\x9b2J\u202e\u2066\u2028\u200b\U000e0041\ud800\r\n\t\x7f"


@pytest.mark.parametrize(
    "text",
    [
        "naïve café",
        "日本語\u3000",
        "שלום",
        "مرحبا",
        "👩\u200d👩\u200d👧 ❤\ufe0f 👍🏽 1\ufe0f\u20e3",
        "e\u0301",
        "C:\\x1b",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", "\\x1b[2J"),
        ("a\u202eb", "a\\u202eb"),
        ("a\u200db", "a\\u200db"),
        ("a\ufe0f\u3164", "a\\ufe0f\\u3164"),
        ("葛\U000e0100", "葛\\U000e0100"),
        ("a" + "\u0301" * 6, "a" + "\u0301" * 4 + "\\u0301" * 2),
        ("\u0301a", "\\u0301a"),
    ],
)
def test_everything_but_ordinary_text_is_escaped(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text(st.characters()))
def test_nothing_but_printable_characters_is_left(text: str) -> None:
    for shown in (visible(text), *visible_lines(text).replace("\t", "").split("\n")):
        left = {unicodedata.category(character) for character in shown if character != "\u200d"}
        assert not left & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
        shown.encode()
    assert ascii_json(text).isprintable()
    assert ascii_json(text).isascii()
    assert json.loads(ascii_json(text)) == text


@pytest.mark.parametrize("console", [True, False])
def test_no_log_line_controls_the_terminal(console: bool) -> None:
    fields = {"event": ORDERS, "job_id": ORDERS, ORDERS: [ORDERS], "level": "info", "logger": ORDERS}
    plain = renderer(console)(None, "info", {"event": "x", "level": "info"})
    line = renderer(console)(None, "info", {**fields, "timestamp": "now"})
    allowed = set(plain) | {"\x1b"} if console else set()
    assert [c for c in line if not c.isprintable() and c not in allowed] == []
    assert "\x1b]0" not in line
    assert "\x1b[2J" not in line
    assert "\\x1b]0;PWNED" in line or "\\u001b]0;PWNED" in line


def test_no_line_of_another_logger_controls_the_terminal() -> None:
    stream = io.StringIO()
    sink = LineSink(stream)
    handler = SinkHandler(sink, "console", "INFO")
    handler.setFormatter(_formatter(True))
    try:
        raise ValueError(ORDERS)
    except ValueError:
        record = logging.getLogger("app").makeRecord(
            "app", logging.ERROR, "f", 1, "said %s", (ORDERS,), __import__("sys").exc_info(), extra={"id": ORDERS}
        )
    handler.emit(record)
    sink.drain()
    said = stream.getvalue()
    assert "PWNED" in said
    assert not {"\x07", "\x9b", "\u202e", "\u2028", "\r", "\x7f"} & set(said)
    assert "\x1b]0" not in said


def test_the_text_of_an_error_cannot_forge_a_log_line() -> None:
    said = renderer(True)(
        None, "error", {"event": "x", "level": "error", "exception": "ValueError: a\nforged [info]"}
    )
    assert [line for line in said.splitlines()[1:] if not line.startswith("  ")] == []
    assert "forged" in said
