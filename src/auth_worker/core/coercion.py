"""Converts JSON values from JavaScript producers the way Node BullMQ's workers coerce them.

Source: ECMA-262, ToNumber and ToBoolean. BullMQ's classes compare and compute without checking types first.
"""

from __future__ import annotations

import math
import re
from typing import Any

MAX_NUMBER = 2**53 - 1
"""The largest integer that JavaScript, Lua and msgpack all represent exactly."""
_DECIMAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
_OTHER_BASE = re.compile(r"0(?:[xX][0-9a-fA-F]+|[oO][0-7]+|[bB][01]+)", re.ASCII)
_INFINITE = re.compile(r"([+-]?)Infinity")


def number_of(value: Any) -> float:
    """Convert ``value`` as JavaScript's ``Number(value)`` does. Returns NaN for what is not a number."""
    match value:
        case None:
            return 0.0
        case bool() | int() | float():
            return _float(value)
        case str():
            return _read(value.strip())
        case [] | [None]:
            return 0.0
        case [str() | int() | float() as alone] if not isinstance(alone, bool):
            return number_of(alone)
    return math.nan


def stored_number(value: bytes | str | None) -> int | None:
    """Read an integer from Redis, where anybody may write. Returns None for anything else."""
    try:
        number = float(value or "nan")
    except ValueError:
        return None
    return int(number) if abs(number) <= MAX_NUMBER else None


def plain_number(value: Any) -> Any:
    """Pass ``value`` on for pydantic or click to read as a number, unless only Python takes it for one.

    Raises ``ValueError``, without the value, for ``True``, ``1_000``, digits of other scripts, surrounding
    whitespace and ``inf``. Source: RFC 8259, section 6.
    """
    if isinstance(value, bool | bytes | bytearray):
        raise ValueError(f"must be a number, not a {type(value).__name__}")
    if isinstance(value, str) and not _JSON_NUMBER.fullmatch(value):
        raise ValueError("must be a number, written as in JSON: 1000 or 2.5")
    return value


def is_truthy(value: Any) -> bool:
    """Convert ``value`` as JavaScript's ``Boolean(value)`` does: empty lists and objects are true."""
    return bool(value) or isinstance(value, list | dict)


def whole(number: float, least: int) -> int:
    """Convert ``number`` (not NaN) to an integer between ``least`` and ``MAX_NUMBER``."""
    return int(min(max(number, least), MAX_NUMBER))


def _read(text: str) -> float:
    if not text:
        return 0.0
    if _DECIMAL.fullmatch(text):
        return float(text)
    if _OTHER_BASE.fullmatch(text):
        return _float(int(text, 0))
    if infinite := _INFINITE.fullmatch(text):
        return -math.inf if infinite[1] == "-" else math.inf
    return math.nan


def _float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf
