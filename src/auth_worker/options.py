"""What a producer asked of one job: BullMQ's job options, read defensively and clamped to sense.

Producers write the same few options again and again, so each distinct text is parsed once and kept.
Sources: BullMQ's ``JobsOptions`` (Node) and ``optsDecodeMap`` for the short keys.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from auth_worker.config import WorkerConfig
from auth_worker.errors import InvalidPayloadError

SHORT_KEYS = {
    "fpof": "failParentOnFailure",
    "cpof": "continueParentOnFailure",
    "idof": "ignoreDependencyOnFailure",
    "rdof": "removeDependencyOnFailure",
    "kl": "keepLogs",
    "de": "deduplication",
    "tm": "telemetryMetadata",
    "omc": "omitContext",
}
MAX_ATTEMPTS = 1000
MAX_NUMBER = 2**53 - 1
"""The largest number that JavaScript, Lua and msgpack all take for a whole one."""
LEAST_KEPT = {"count": -1, "age": 0, "limit": 1}
Keep = Mapping[str, int]


def refuse_constant(name: str) -> NoReturn:
    """NaN and Infinity are not JSON, whatever Python's parser thinks."""
    raise ValueError(f"{name} is not JSON")


_decoder = json.JSONDecoder(parse_constant=refuse_constant)


def decode_json(text: str) -> Any:
    """``text`` as JSON. Raises ``ValueError`` or ``RecursionError``.

    A text without blanks around it, as every client writes it, needs none of the decoder's searches for blanks.
    """
    try:
        value, end = _decoder.raw_decode(text)
    except ValueError:
        return _decoder.decode(text)
    return value if end == len(text) else _decoder.decode(text)


class JobOptions:
    """The options of a job as its worker needs them; one object for all jobs with the same options.

    ``attempts`` and ``backoff`` are those to use: the job's own, or the worker's where the job says nothing of
    attempts (a producer who sets attempts has decided how to retry). ``backoff`` is kept as it was written; it is
    judged when it is needed. ``wire`` is for the broker, which keeps there what it derives from these options.
    """

    __slots__ = (
        "attempts",
        "backoff",
        "continue_parent",
        "fail_parent",
        "given",
        "ignore_dependency",
        "keep_complete",
        "keep_fail",
        "keep_logs",
        "lifo",
        "remove_dependency",
        "stack_trace_limit",
        "wire",
    )

    def __init__(self, given: Mapping[str, Any], config: WorkerConfig) -> None:
        self.given = given
        own_attempts = _attempts(given.get("attempts"))
        self.attempts: int = own_attempts or config.attempts
        self.backoff: Any = given.get("backoff")
        if self.backoff is None and not own_attempts:
            self.backoff = config.backoff.model_dump()
        self.keep_complete: Keep = _keep(given.get("removeOnComplete"), config.remove_on_complete)
        self.keep_fail: Keep = _keep(given.get("removeOnFail"), config.remove_on_fail)
        self.lifo = given.get("lifo") is True
        self.keep_logs = _natural(given.get("keepLogs"))
        self.stack_trace_limit = _natural(given.get("stackTraceLimit"))
        self.fail_parent = bool(given.get("failParentOnFailure"))
        self.continue_parent = bool(given.get("continueParentOnFailure"))
        self.ignore_dependency = bool(given.get("ignoreDependencyOnFailure"))
        self.remove_dependency = bool(given.get("removeDependencyOnFailure"))
        self.wire: dict[Any, bytes] = {}


class OptionsCache:
    """The options of one queue's jobs: each distinct text is parsed once."""

    def __init__(self, config: WorkerConfig, most: int = 2048) -> None:
        self._config = config
        self._most = most
        self._parsed: dict[bytes, JobOptions] = {}

    def parse(self, text: bytes) -> JobOptions:
        """As ``parse_options``."""
        options = self._parsed.get(text)
        if options is None:
            options = parse_options(text, self._config)
            if len(self._parsed) >= self._most:
                self._parsed.clear()
            self._parsed[text] = options
        return options


def parse_options(text: bytes, config: WorkerConfig) -> JobOptions:
    """Read the ``opts`` field of a job's hash. Raises ``InvalidPayloadError`` when it is not a JSON object."""
    try:
        given = decode_json(text.decode()) if text else {}
    except (ValueError, RecursionError) as error:
        raise InvalidPayloadError(f"opts is not JSON: {error}") from error
    if not isinstance(given, dict):
        raise InvalidPayloadError(f"opts is a JSON {type(given).__name__}, not an object")
    return JobOptions({SHORT_KEYS.get(str(key), str(key)): value for key, value in given.items()}, config)


def _attempts(value: Any) -> int | None:
    """How many attempts the producer asked for, within 1..1000; None where it asked for none in particular."""
    if value is None or value == 0 or isinstance(value, bool):
        return None
    number = value
    if not isinstance(value, int):
        try:
            number = float(value)
        except (TypeError, ValueError) as error:
            raise InvalidPayloadError(f"opts.attempts is {type(value).__name__}, not a number") from error
        if math.isnan(number):
            raise InvalidPayloadError("opts.attempts is not a number")
    return int(min(max(number, 1), MAX_ATTEMPTS))


def _keep(value: Any, default: Any) -> Keep:
    """BullMQ's ``removeOnComplete`` / ``removeOnFail``: true, false, a count, or {count, age, limit}."""
    if value is None:
        chosen: Keep = default.model_dump(exclude_none=True)
        return chosen or {"count": -1}
    if isinstance(value, bool):
        return {"count": 0 if value else -1}
    if isinstance(value, int | float):
        return {"count": _within(value, -1)}
    if isinstance(value, dict):
        numbers: dict[str, Any] = {key: value.get(key) for key in LEAST_KEPT}
        keep: Keep = {
            key: _within(number, LEAST_KEPT[key])
            for key, number in numbers.items()
            if isinstance(number, int | float)
        }
        return keep or {"count": -1}
    raise InvalidPayloadError(f"opts.removeOnComplete or removeOnFail is {type(value).__name__}")


def _natural(value: Any) -> int | None:
    """A whole number >= 0, or None for anything else."""
    return _within(value, 0) if isinstance(value, int | float) and value >= 0 else None


def _within(number: float, least: int) -> int:
    """``number`` as a whole one that every party takes; JSON may hold larger ones, and 1e999 is infinite."""
    return int(min(max(number, least), MAX_NUMBER))
