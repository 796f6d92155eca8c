"""Reads a job's options as its worker needs them: defensively, and coerced as Node's workers do.

Producers write the same few options again and again, so each distinct text is parsed once and cached. Sources:
BullMQ's ``JobsOptions`` (Node) and ``optsDecodeMap`` for the short keys.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from auth_worker.core.coercion import MAX_NUMBER, is_truthy, number_of, whole
from auth_worker.core.json_codec import decode_json
from auth_worker.core.worker_config import WorkerConfig
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
LEAST_KEPT = {"count": -1, "age": 0, "limit": 1}
Keep = Mapping[str, int]


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
"""The options that a worker decides by. The others identify the job, or its producer has applied them already."""


class JobPolicy:
    """How a worker treats a job. All jobs with the same ``DECISIVE`` options share one object.

    ``attempts`` and ``backoff`` are the job's own, or the worker's if the job does not set attempts (a producer
    who sets attempts has decided how to retry). ``backoff`` is kept as it was written and read when it is needed;
    ``worker_backoff`` applies if it cannot be read. ``wire`` is a cache of the broker's, for what it derives from
    the policy.
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
        "worker_backoff",
    )

    def __init__(self, given: Mapping[str, Any], config: WorkerConfig) -> None:
        own_attempts = _attempts(given.get("attempts"))
        self.attempts: int = own_attempts or config.attempts
        self.backoff: Any = given.get("backoff")
        self.worker_backoff: Any = config.backoff.model_dump()
        if self.backoff is None and not own_attempts:
            self.backoff = self.worker_backoff
        self.keep_complete: Keep = _keep(given.get("removeOnComplete"), config.remove_on_complete)
        self.keep_fail: Keep = _keep(given.get("removeOnFail"), config.remove_on_fail)
        self.lifo = is_truthy(given.get("lifo"))
        self.stack_trace_limit = natural(given.get("stackTraceLimit"))
        self.fail_parent = is_truthy(given.get("failParentOnFailure"))
        self.continue_parent = is_truthy(given.get("continueParentOnFailure"))
        self.ignore_dependency = is_truthy(given.get("ignoreDependencyOnFailure"))
        self.remove_dependency = is_truthy(given.get("removeDependencyOnFailure"))
        self.wire: dict[Any, Any] = {}


class PolicyCache:
    """Caches the policies of one queue: parses each distinct text once, and keeps one policy for equal options.

    Options that identify their job (its id, its trace) make each text distinct, but share a policy.
    """

    def __init__(self, config: WorkerConfig, most: int = 2048) -> None:
        self._config = config
        self._most = most
        self._parsed: dict[bytes, tuple[Mapping[str, Any], JobPolicy]] = {}
        self._kinds: dict[str, JobPolicy] = {}

    def parse(self, text: bytes) -> tuple[Mapping[str, Any], JobPolicy]:
        """Return the options as ``read_options`` does, and the policy for them. Raises ``InvalidPayloadError``."""
        return self._parsed.get(text) or self._parse(text)

    def _parse(self, text: bytes) -> tuple[Mapping[str, Any], JobPolicy]:
        given = read_options(text)
        kind = _kind_of(given)
        options = self._kinds.get(kind)
        if options is None:
            options = JobPolicy(given, self._config)
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
    """Read the ``opts`` field of a job's hash, with long keys. Raises ``InvalidPayloadError``."""
    try:
        given = decode_json(text.decode()) if text else {}
    except (ValueError, RecursionError) as error:
        raise InvalidPayloadError(f"opts is not JSON: {error}") from error
    if not isinstance(given, dict):
        raise InvalidPayloadError(f"opts is a JSON {type(given).__name__}, not an object")
    return {SHORT_KEYS.get(str(key), str(key)): value for key, value in given.items()}


def _attempts(value: Any) -> int | None:
    """Return the attempts that the producer asked for, or None if it set none.

    What is not a number allows one attempt, as Node's comparison ``attemptsMade + 1 < attempts`` does.
    """
    number = number_of(value)
    if number == 0:
        return None
    return 1 if math.isnan(number) or number < 1 else math.ceil(min(number, MAX_NUMBER))


def _keep(value: Any, default: Any) -> Keep:
    """Read BullMQ's ``removeOnComplete`` or ``removeOnFail``: true, false, a count, or {count, age, limit}.

    A text is read by its meaning. Node takes every text as true, even "false" and "5", and would remove the job.
    """
    if isinstance(value, str):
        value = {"true": True, "false": False, "": False}.get(value.strip().lower(), number_of(value))
    if value is None or value != value:  # noqa: PLR0124 - NaN
        chosen: Keep = default.model_dump(exclude_none=True)
        return chosen or {"count": -1}
    if isinstance(value, bool):
        return {"count": 0 if value else -1}
    if isinstance(value, int | float):
        return {"count": whole(value, -1)}
    keep = {}
    for name, least in LEAST_KEPT.items():
        number = _plain_number(value.get(name)) if isinstance(value, dict) else None
        if number is not None:
            keep[name] = whole(number, least)
    return keep or {"count": -1}


def natural(value: Any) -> int | None:
    """Return an integer >= 0, also from a text; None for anything else."""
    number = _plain_number(value)
    return None if number is None or number < 0 else whole(number, 0)


def _plain_number(value: Any) -> float | None:
    """Return a number, also from a text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str) or value == "":
        return None
    number = number_of(value)
    return None if math.isnan(number) else number
