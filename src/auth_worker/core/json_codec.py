"""Encodes values as JSON the way JavaScript writes it, and decodes JSON as strictly as JavaScript reads it."""

from __future__ import annotations

import json
from dataclasses import is_dataclass
from functools import lru_cache
from gc import get_referents
from typing import Any, NoReturn

from pydantic import BaseModel
from pydantic_core import from_json, to_json, to_jsonable_python

from auth_worker.core.pydantic_schema import writes_stars


def encode_json(value: Any) -> bytes:
    """Encode ``value`` as JSON in UTF-8, with lone surrogates escaped as by JavaScript's ``JSON.stringify``.

    Raises ``TypeError``, ``ValueError`` or ``RecursionError`` if ``value`` has no JSON form.
    """
    if value is None:
        return b"null"
    return _encode_plain(value) or _encode_any(value).encode(errors="backslashreplace")


def encode_data(value: Any) -> bytes:
    """Encode ``value`` as ``encode_json`` does, with pydantic models and dataclasses, at any depth, as objects.

    Fields of models are named by their aliases. Dates, UUIDs, decimals and enums in them become texts, as pydantic
    writes them. Raises as ``encode_json``.
    """
    if value is None:
        return b"null"
    return _encode_plain(value) or _encode_data(value).encode(errors="backslashreplace")


def decode_json(text: str) -> Any:
    """Decode JSON. Raises ``ValueError`` or ``RecursionError``.

    A text without surrounding whitespace, as every client writes it, skips the decoder's searches for whitespace.
    """
    try:
        value, end = _decoder.raw_decode(text)
    except ValueError:
        return _decoder.decode(text)
    return value if end == len(text) else _decoder.decode(text)


def decode_json_bytes(body: bytes) -> Any:
    """Decode JSON in UTF-8, with the same result as ``decode_json`` in two thirds of the time.

    The other parser decides about what pydantic's refuses, such as lone surrogates and nesting deeper than 200
    levels. Raises as ``decode_json``, and ``UnicodeDecodeError``.
    """
    try:
        return from_json(body, allow_inf_nan=False, cache_strings="keys")  # values may be personal
    except ValueError:
        return decode_json(body.decode())


def decode_or_text(text: str) -> Any:
    """Decode JSON; return ``text`` itself if it is not JSON."""
    try:
        return decode_json(text)
    except (ValueError, RecursionError):
        return text


def refuse_constant(name: str) -> NoReturn:
    """Reject NaN and Infinity, which Python's parser accepts although they are not JSON."""
    raise ValueError(f"{name} is not JSON")


def _encode_plain(value: Any) -> bytes | None:
    """Encode a value in half of the time of Python's encoder, or return None if that must decide about it.

    pydantic's encoder accepts more: dates, sets, NaN. Of small values it is faster to let Python's encoder decide.
    """
    if type(value) not in _PLAIN or not _is_large(value):
        return None
    try:
        text = to_json(value, inf_nan_mode="constants")
    except Exception:  # also what the serializers of models raise
        return None
    kinds = _types_in(value)
    if not kinds <= _PLAIN or (not kinds <= _PLAIN_ALWAYS and _is_odd(text)):
        return None
    return text


def _is_large(value: Any) -> bool:
    """Whether many values, or a long text, are in ``value`` or in what is in it."""
    parts = get_referents(value)
    parts += get_referents(*parts)
    if len(parts) > _FEW:
        return True
    for part in parts:  # noqa: SIM110 - a generator takes three times as long
        if type(part) is str and len(part) > _LONG:
            return True
    return False


def _is_odd(text: bytes) -> bool:
    """Whether ``text`` may hold what pydantic's encoder writes and Python's refuses or writes in another way.

    That is NaN, infinity, keys that are one of them or None, and integers too long for Python to read. A search
    for one letter takes no time beside one for a word.
    """
    return (
        (b"N" in text and (b"NaN" in text or b'"None":' in text))
        or (b"I" in text and b"Infinity" in text)
        or b'"nan":' in text
        or b'inf":' in text
        or any(text[at : at + _DIGITS].isdigit() for at in range(0, len(text) - _DIGITS, _DIGITS))
    )


def _types_in(value: Any) -> set[type]:
    """Return the types of ``value`` and of all that is in it, up to one that JSON does not have.

    Looks at everything of one depth at a time. There must be no circular references.
    """
    kinds: set[type] = set()
    level = [value]
    while level and kinds <= _PLAIN:
        kinds.update(map(type, level))
        level = get_referents(*level)
    return kinds


def _object_of(value: Any) -> Any:
    if isinstance(value, BaseModel) and _is_masked(type(value)):
        raise TypeError(
            f"a SecretStr or its like in {type(value).__name__} is written as stars: take a str, or annotate it "
            "with a PlainSerializer that gives the value"
        )
    if isinstance(value, BaseModel) or (is_dataclass(value) and not isinstance(value, type)):
        return to_jsonable_python(value, by_alias=True, bytes_mode="base64", inf_nan_mode="constants")
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


@lru_cache(256)
def _is_masked(kind: type[BaseModel]) -> bool:
    return writes_stars(kind.__pydantic_core_schema__)


_PLAIN_ALWAYS: frozenset[type] = frozenset((dict, list, str, bool))
_PLAIN: frozenset[type] = _PLAIN_ALWAYS | {int, float, type(None)}
_FEW, _LONG = 10, 1000
_DIGITS = 2000
"""Python reads integers of up to 4300 digits. A longer one has this many in one piece of the text."""
_encode_any = json.JSONEncoder(separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode
_encode_data = json.JSONEncoder(
    separators=(",", ":"), allow_nan=False, ensure_ascii=False, default=_object_of
).encode
_decoder = json.JSONDecoder(parse_constant=refuse_constant)
