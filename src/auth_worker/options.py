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


DECISIVE = (
    "attempts",
    "backoff",
    "removeOnComplete",
    "removeOnFail",
    "lifo",
    "stackTraceLimit",
    "failParentOnFailure",
    "continueParentOnFailure",
    "ignoreDependencyOnFailure",
    "removeDependencyOnFailure",
)
"""The options a worker decides by. The others name the job, or have been carried out by its producer."""


class JobOptions:
    """The options of a job as its worker needs them; one object for all jobs with the same ``DECISIVE`` ones.

    ``attempts`` and ``backoff`` are those to use: the job's own, or the worker's where the job says nothing of
    attempts (a producer who sets attempts has decided how to retry). ``backoff`` is kept as it was written; it is
    judged when it is needed. ``wire`` is for the broker, which keeps there what it derives from these options.
    """

    __slots__ = (
        "attempts",
        "backoff",
        "continue_parent",
        "fail_parent",
        "ignore_dependency",
        "keep_complete",
        "keep_fail",
        "lifo",
        "remove_dependency",
        "stack_trace_limit",
        "wire",
    )

    def __init__(self, given: Mapping[str, Any], config: WorkerConfig) -> None:
        own_attempts = _attempts(given.get("attempts"))
        self.attempts: int = own_attempts or config.attempts
        self.backoff: Any = given.get("backoff")
        if self.backoff is None and not own_attempts:
            self.backoff = config.backoff.model_dump()
        self.keep_complete: Keep = _keep(given.get("removeOnComplete"), config.remove_on_complete)
        self.keep_fail: Keep = _keep(given.get("removeOnFail"), config.remove_on_fail)
        self.lifo = given.get("lifo") is True
        self.stack_trace_limit = natural(given.get("stackTraceLimit"))
        self.fail_parent = bool(given.get("failParentOnFailure"))
        self.continue_parent = bool(given.get("continueParentOnFailure"))
        self.ignore_dependency = bool(given.get("ignoreDependencyOnFailure"))
        self.remove_dependency = bool(given.get("removeDependencyOnFailure"))
        self.wire: dict[Any, Any] = {}


class OptionsCache:
    """The options of one queue's jobs: each distinct text is parsed once, and each kind of options judged once.

    Options that name their job (its id, its trace) make a text of their own for each, but are of one kind.
    """

    def __init__(self, config: WorkerConfig, most: int = 2048) -> None:
        self._config = config
        self._most = most
        self._parsed: dict[bytes, tuple[Mapping[str, Any], JobOptions]] = {}
        self._kinds: dict[str, JobOptions] = {}

    def parse(self, text: bytes) -> tuple[Mapping[str, Any], JobOptions]:
        """The options as ``read_options`` reads them, and what the worker makes of them. Raises as that does."""
        return self._parsed.get(text) or self._parse(text)

    def _parse(self, text: bytes) -> tuple[Mapping[str, Any], JobOptions]:
        given = read_options(text)
        kind = _kind_of(given)
        options = self._kinds.get(kind)
        if options is None:
            options = JobOptions(given, self._config)
            _make_room(self._kinds, self._most)
            self._kinds[kind] = options
        _make_room(self._parsed, self._most)
        parsed = self._parsed[text] = given, options
        return parsed


def _kind_of(given: Mapping[str, Any]) -> str:
    try:
        return repr([given.get(name) for name in DECISIVE])
    except RecursionError as error:
        raise InvalidPayloadError("opts is nested too deep") from error


def _make_room(cache: dict[Any, Any], most: int) -> None:
    if len(cache) >= most:
        cache.clear()


def read_options(text: bytes) -> dict[str, Any]:
    """The ``opts`` field of a job's hash, with long keys. Raises ``InvalidPayloadError`` for no JSON object."""
    try:
        given = decode_json(text.decode()) if text else {}
    except (ValueError, RecursionError) as error:
        raise InvalidPayloadError(f"opts is not JSON: {error}") from error
    if not isinstance(given, dict):
        raise InvalidPayloadError(f"opts is a JSON {type(given).__name__}, not an object")
    return {SHORT_KEYS.get(str(key), str(key)): value for key, value in given.items()}


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


def natural(value: Any) -> int | None:
    """A whole number >= 0, or None for anything else."""
    return (
        _within(value, 0)
        if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
        else None
    )


def _within(number: float, least: int) -> int:
    """``number`` as a whole one that every party takes; JSON may hold larger ones, and 1e999 is infinite."""
    return int(min(max(number, least), MAX_NUMBER))
