r"""Makes untrusted text safe to print on a terminal: escapes what could control it or mislead the reader.

Whoever may add a job chooses its id, name, data and errors. Control characters (C0, DEL, C1) control the terminal,
line separators forge rows, bidirectional marks reorder text, and invisible characters make two names look alike.
Each is shown as its Python escape: ``\x1b``, ``\u202e``. Letters of all languages and emoji stay as they are.
Source: general categories and default-ignorable characters of the Unicode Standard.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Callable
from typing import Any

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BLANKS = frozenset("\u00a0\u202f\u3000")
"""Spaces of ordinary French and Japanese text."""
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Characters that Unicode does not class as format characters, but that are invisible."""
_JOINER = "\u200d"
_EMOJI_SELECTORS = frozenset("\ufe0e\ufe0f")
_SELECTORS = re.compile("[\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")
MOST_MARKS = 4
"""The most combining marks on one letter. No language needs more, and more would cover other lines."""

MOST_BITS = 2000
"""The most digits of an integer that is printed. Python prints 4300, or as few as 640 if configured so."""


def visible(value: object) -> str:
    """Format ``value`` on one line, with everything but ordinary characters escaped."""
    text = str(value)
    if text.isascii():
        return _CONTROL.sub(_escape_match, text)
    shown: list[str] = []
    marks = MOST_MARKS  # no letter to combine with yet
    for index, character in enumerate(text):
        if unicodedata.category(character) in ("Mn", "Me"):
            marks += 1
        else:
            marks = 0 if character.isprintable() and character != " " else MOST_MARKS
        ordinary = marks <= MOST_MARKS and _is_ordinary(text, index)
        shown.append(character if ordinary else _escape(character))
    return "".join(shown)


def visible_lines(value: object) -> str:
    """Format ``value`` as ``visible`` does, but keep line feeds and tabs, as for a stack trace."""
    lines = str(value).replace("\r\n", "\n").split("\n")
    return "\n".join("\t".join(map(visible, line.split("\t"))) for line in lines)


def ascii_json(value: Any, default: Callable[[Any], Any] = str) -> str:
    """Encode ``value`` as JSON on one line of printable ASCII. ``default`` is called for types JSON does not have.

    A number that JSON cannot represent (NaN, infinity, more digits than Python prints) becomes null.
    """
    try:
        text = json.dumps(value, default=default, allow_nan=False)
    except ValueError:
        text = json.dumps(without_odd_numbers(value), default=lambda each: without_odd_numbers(default(each)))
    return text.replace("\x7f", "\\u007f")


def without_odd_numbers(value: Any) -> Any:
    """Replace each number that JSON cannot represent by None, at any depth."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case int():
            return value if value.bit_length() <= MOST_BITS else None
        case dict():
            return {_key(key): without_odd_numbers(item) for key, item in value.items()}
        case list() | tuple():
            return [without_odd_numbers(item) for item in value]
    return value


def _key(key: Any) -> Any:
    return str(key) if isinstance(key, float) else key


def _is_ordinary(text: str, index: int) -> bool:
    character = text[index]
    if character == _JOINER:
        return _is_emoji(text[:index].rstrip("\ufe0f")[-1:]) and _is_emoji(text[index + 1 : index + 2])
    if character in _EMOJI_SELECTORS:
        before = text[index - 1 : index]
        return _is_emoji(before) or (before in "#*0123456789" and text[index + 1 : index + 2] == "\u20e3")
    if _SELECTORS.match(character) or character in _INVISIBLE:
        return False
    return character.isprintable() or character in _BLANKS


def _is_emoji(character: str) -> bool:
    """Whether the character may be part of an emoji: a symbol, or a skin tone."""
    return character not in ("", "\u2800") and unicodedata.category(character) in ("So", "Sk", "Sm")


def _escape(character: str) -> str:
    return ascii(character)[1:-1]


def _escape_match(match: re.Match[str]) -> str:
    return _escape(match[0])
