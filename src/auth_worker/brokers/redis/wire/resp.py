"""Redis's wire format: packs commands, and turns error replies into our errors."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import hiredis

from auth_worker.brokers.redis.text_codec import stored_bytes
from auth_worker.errors import BrokerBusyError, BrokerError, BrokerUnavailableError, BrokerUnpreparedError

BUSY_CODES = frozenset(
    ("OOM", "READONLY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "ASK", "BUSY", "NOREPLICAS", "MISCONF")
)
ELSEWHERE_CODES = frozenset(("MOVED", "READONLY", "NOAUTH"))
"""The codes of a server that was, or knew us, before. The next connection finds the right one, and logs in."""


def pack(*args: Any) -> bytes:
    """Pack a command of str, bytes, int and float in Redis's wire format."""
    try:
        return bytes(hiredis.pack_command(args))
    except UnicodeEncodeError:  # of an id that is not UTF-8, which hiredis does not encode
        encoded: Any = tuple(stored_bytes(arg) if isinstance(arg, str) else arg for arg in args)
        return bytes(hiredis.pack_command(encoded))


def pairs_of(flat: Sequence[Any]) -> dict[Any, Any]:
    """Return the pairs of a flat list, which is how Redis replies with a hash, an entry or scores."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def client_name_of(text: str) -> str:
    """Encode ``text`` for CLIENT SETNAME, which accepts only printable ASCII: the rest is percent-encoded."""
    return quote(text, safe=string.punctuation)


def is_error(reply: Any) -> bool:
    """Whether a reply, or one inside a transaction's reply, is an error of Redis."""
    return type(reply) is hiredis.ReplyError


def error_of(reply: hiredis.ReplyError) -> BrokerError:
    """Return our error for an error reply of Redis. Its code decides the class."""
    text = str(reply).partition(", with args beginning")[0]  # the rest may be a password
    code = text.partition(" ")[0]
    kind: type[BrokerError] = BrokerError
    if code in BUSY_CODES:
        kind = BrokerBusyError
    elif code in ("MOVED", "NOAUTH"):
        kind = BrokerUnavailableError
    elif code == "NOSCRIPT":
        kind = BrokerUnpreparedError
    return kind(f"Redis refused: {text}", code)


def unasked_error(reply: Any) -> BrokerError:
    """Return the error of a server that refuses before it is asked: too many clients, or protected mode."""
    if is_error(reply):
        return error_of(reply)
    return BrokerUnavailableError("Redis sent a reply that nothing waits for")
