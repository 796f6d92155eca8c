"""What the scripts answer, read into values."""

from __future__ import annotations

from typing import Any, NamedTuple

from auth_worker.broker.wire import error_of, is_error
from auth_worker.errors import BrokerError
from auth_worker.payload import RawJob


class Fetched(NamedTuple):
    """A job, locked for us."""

    job_id: str
    raw: RawJob


class Nothing(NamedTuple):
    """No job now: the queue rests for ``limited_ms``; the next delayed job is due at ``next_due`` (epoch ms)."""

    limited_ms: int
    next_due: float


class Settled(NamedTuple):
    """What became of a settle: ``code`` < 0 is BullMQ's error code; ``next`` what was fetched along with it."""

    code: int
    next: Fetched | Nothing | None


def fetched(job_id: bytes, flat: list[bytes]) -> Fetched:
    """A job from its id and the flat reply of HGETALL."""
    pairs = iter(flat)
    return Fetched(job_id.decode("utf-8", "surrogateescape"), dict(zip(pairs, pairs, strict=True)))


def read_fetched(reply: Any) -> Fetched | Nothing | BrokerError:
    """The answer of moveToActive-11.lua: [job, id, limited ms, next delayed]."""
    if isinstance(reply, BrokerError):
        return reply
    if isinstance(reply, list) and len(reply) == 4:
        if reply[0]:
            return fetched(reply[1], reply[0])
        return Nothing(max(int(reply[2]), 0), float(reply[3] or 0))
    return Nothing(0, 0)


def read_settled(reply: Any) -> Settled | BrokerError:
    """The answer of a script that ends a run: a code, or the next job as ``read_fetched`` knows it."""
    if isinstance(reply, BrokerError):
        return reply
    if isinstance(reply, list):
        return Settled(0, read_fetched(reply))  # type: ignore[arg-type]
    code = int(reply or 0)
    return Settled(code, None) if code else Settled(0, Nothing(0, 0))


def read_last(replies: Any) -> Settled | BrokerError:
    """The last reply of a transaction; an error of any of them is the error of all."""
    if isinstance(replies, BrokerError):
        return replies
    for reply in replies or ():
        if is_error(reply):
            return error_of(reply)
    return read_settled(replies[-1])
