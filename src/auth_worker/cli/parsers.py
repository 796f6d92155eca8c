"""Parsers for the values of flags: each takes text, and raises ``typer.BadParameter`` if it is invalid."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable
from typing import Any

import typer

from auth_worker.core.coercion import plain_number
from auth_worker.core.durations import duration_of
from auth_worker.core.json_codec import decode_json

_RATE = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)(?:/([smh]))?")


def whole_number(text: str) -> int:
    """Parse a whole number; only decimal digits count, so not ``1_000``."""
    try:
        return int(plain_number(text))
    except ValueError:
        raise typer.BadParameter(f"{text!r:.80} is not a whole number") from None


def number(text: str) -> float:
    """Parse a finite number."""
    with contextlib.suppress(ValueError):
        if math.isfinite(found := float(plain_number(text))):
            return found
    raise typer.BadParameter(f"{text!r:.80} is not a number")


def whole_numbers(least: int, most: int | None = None) -> dict[str, Any]:
    """Return the arguments of ``typer.Option`` for whole numbers in a range, which the help shows."""
    return {"parser": _in_range(whole_number, least, most), "min": least, "max": most}


def numbers(least: float) -> dict[str, Any]:
    """Return the arguments of ``typer.Option`` for numbers from ``least`` on; the help shows the limit."""
    return {"parser": _in_range(number, least, None), "min": least}


def _in_range(parse: Callable[[str], Any], least: float, most: float | None) -> Callable[[str], Any]:
    described = f"x>={least}" if most is None else f"{least}<=x<={most}"

    def parse_in_range(text: str) -> Any:
        found = parse(text)
        if found < least or (most is not None and found > most):
            raise typer.BadParameter(f"{found} is not in the range {described}.")
        return found

    return parse_in_range


def duration_ms(text: str) -> int:
    """Parse ``250ms``, ``10s``, ``5m``, ``1.5h``, ``2d`` or a number of ms into ms."""
    try:
        return duration_of(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def age_s(text: str) -> float:
    """Parse ``90s``, ``2h``, ``7d`` or a number of s into s."""
    return duration_ms(text if text[-1:].isalpha() else f"{text}s") / 1000


def rate_per_s(text: str) -> float:
    """Parse ``50``, ``50/s`` or ``600/m`` into a rate per second."""
    found = _RATE.fullmatch(text.strip())
    if found is None or not float(found[1]):
        raise typer.BadParameter(f"{text!r} is not a rate such as 50/s or 600/m")
    return float(found[1]) / {"s": 1, "m": 60, "h": 3600}[found[2] or "s"]


def backoff(text: str) -> Any:
    """Parse ``10s``, ``exponential:1s``, ``exponential:1s:0.5`` (with jitter) or BullMQ's JSON."""
    if text.lstrip().startswith("{"):
        return json_value(text)
    kind, colon, rest = text.partition(":")
    if not colon:
        return duration_ms(text)
    if kind not in ("fixed", "exponential"):
        raise typer.BadParameter(f"{kind!r} is not fixed or exponential")
    delay, _, jitter = rest.partition(":")
    try:
        return {
            "type": kind,
            "delay": duration_ms(delay),
            **({"jitter": float(plain_number(jitter))} if jitter else {}),
        }
    except ValueError:
        raise typer.BadParameter(f"the jitter {jitter!r} is not a number from 0 to 1") from None


def retention(text: str) -> Any:
    """Parse ``true``, ``false``, a count, an age such as ``24h`` or BullMQ's JSON."""
    if text[:1] in "{tf-" or (text.isascii() and text.isdigit()):
        return json_value(text)
    return {"age": max(duration_ms(text) // 1000, 1)}


def deduplication(text: str) -> Any:
    """Parse an id or BullMQ's JSON."""
    return json_value(text) if text.lstrip().startswith("{") else {"id": text}


def json_value(text: str) -> Any:
    """Parse JSON."""
    try:
        return decode_json(text)
    except (ValueError, RecursionError) as error:
        raise typer.BadParameter(f"is not JSON: {error}") from None
