"""Reads the job schedulers that Redis stores, trusting nothing: Node and older versions write them too."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from auth_worker.core.clock import now_ms
from auth_worker.core.coercion import stored_number
from auth_worker.core.cron import RepeatStrategy
from auth_worker.core.repetition import read_repetition

OLD_KEY = re.compile(r"[^:]*:[^:]*:\d*:[^:]*:(?:\d+|.* .*)", re.ASCII | re.DOTALL)
"""The key of a repeatable job of BullMQ up to version 5: name:id:end:tz: and a pattern or a number of ms.

A job scheduler may have an id of the same form.
"""
_NUMBER = re.compile(r"-?\d{1,6}(?:\.\d+)?", re.ASCII)
OLD_REPEATABLE = "it is a repeatable job of BullMQ 5 or older: remove it, and add a job scheduler in its place"
"""What is wrong with one, and what to do. Only its last job had the data, and Node does not continue it either."""


class StoredScheduler(NamedTuple):
    """A scheduler as Redis stores it: its fields, and when its current iteration is due (epoch ms).

    ``fault`` says why it must be replaced, if it must; ``due`` is 0 if it is not a time.
    """

    scheduler_id: str
    due: int
    fields: Mapping[str, str]
    fault: str = ""

    @classmethod
    def of(cls, scheduler_id: str, score: str, fields: Mapping[str, str]) -> Self:
        """Read an entry of the key ``repeat``, with the fields of its hash."""
        due = stored_number(score)
        if due is None or due != float(score):
            return cls(scheduler_id, 0, fields, f"it is due at {score:.40}, which is not a time: remove it first")
        if "ic" in fields:
            return cls(scheduler_id, due, fields)
        is_old = fields or OLD_KEY.fullmatch(scheduler_id)
        return cls(
            scheduler_id, due, fields, OLD_REPEATABLE if is_old else "its options are not stored: remove it first"
        )

    def repetition(self, hash_seed: str | None = None) -> dict[str, Any]:
        """Return its repeat options and its iterations so far. Raises ``ValueError`` naming the field."""
        names = ("pattern", "every", "tz", "limit", "offset", "startDate", "endDate")
        given: dict[str, Any] = {name: self.fields[name] for name in names if name in self.fields}
        if _NUMBER.fullmatch(str(given.get("tz"))):  # the hash does not tell a number from a text
            given["tz"] = float(given["tz"])
        count = {"count": self.fields.get("ic"), "hashSeed": hash_seed}
        return read_repetition({**given, **{name: value for name, value in count.items() if value is not None}})

    def template(self) -> dict[str, Any]:
        """Return the options of its jobs. Raises ``ValueError``."""
        return options_in(self.fields.get("opts"))

    def ended(self) -> bool:
        """Whether no iteration may follow: its limit or its end is reached. Raises ``ValueError``."""
        repeat = self.repetition()
        limit, end = repeat.get("limit"), repeat.get("endDate")
        if end is not None and now_ms() > end:
            return True
        if limit is not None and repeat.get("count", 0) >= limit:
            return True
        return "pattern" in repeat and RepeatStrategy(self.scheduler_id)(self.due, repeat) is None

    def check(self) -> None:
        """Raise ``ValueError`` naming what cannot be read."""
        if self.fault:
            raise ValueError(self.fault)
        self.template()
        repeat = self.repetition()
        if "pattern" in repeat:
            RepeatStrategy(self.scheduler_id)(self.due, repeat)
        elif not repeat.get("every"):
            raise ValueError("it has neither a pattern nor every")


def options_in(opts: bytes | str | None) -> dict[str, Any]:
    """Decode a field ``opts``. Raises ``ValueError``."""
    try:
        options = json.loads(opts or "{}")
    except (ValueError, RecursionError):
        raise ValueError("opts is not JSON") from None
    if not isinstance(options, dict):
        raise ValueError(f"opts is a {type(options).__name__}, not an object")
    return options
