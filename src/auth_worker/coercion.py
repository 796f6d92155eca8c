"""Values that producers in JavaScript leave in JSON, read as Node BullMQ's workers take them.

Source: ECMA-262, ToNumber and ToBoolean; BullMQ's classes compare and compute without checking types first.
"""

from __future__ import annotations

import math
import re
from typing import Any

MAX_NUMBER = 2**53 - 1
"""The largest number that JavaScript, Lua and msgpack all take for a whole one."""
_DECIMAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_OTHER_BASE = re.compile(r"0(?:[xX][0-9a-fA-F]+|[oO][0-7]+|[bB][01]+)", re.ASCII)
_INFINITE = re.compile(r"([+-]?)Infinity")


def number_of(value: Any) -> float:
    """``value`` as JavaScript's ``Number(value)``; NaN for what is no number."""
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
    """A whole number that stands in Redis, where anybody may write; None for anything else."""
    try:
        number = float(value or "nan")
    except ValueError:
        return None
    return int(number) if abs(number) <= MAX_NUMBER else None


def plain_number(value: Any) -> Any:
    """``value``, for pydantic to read. Raises ``ValueError`` for ``1_000``, a number to Python alone."""
    if isinstance(value, str) and "_" in value:
        raise ValueError("write a number with digits alone, without _")
    return value


def is_truthy(value: Any) -> bool:
    """``value`` as JavaScript's ``Boolean(value)``: lists and objects are true even when they are empty."""
    return bool(value) or isinstance(value, list | dict)


def whole(number: float, least: int) -> int:
    """``number`` (not NaN) as a whole one within ``least`` and ``MAX_NUMBER``."""
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
