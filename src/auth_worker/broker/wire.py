"""Redis's wire format: commands put into it, and its error replies as errors of ours."""

from __future__ import annotations

import string
from typing import Any
from urllib.parse import quote

import hiredis

from auth_worker.errors import BrokerBusyError, BrokerError, BrokerUnavailableError

BUSY_CODES = frozenset(
    ("OOM", "READONLY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "ASK", "BUSY", "NOREPLICAS", "MISCONF")
)
ELSEWHERE_CODES = frozenset(("MOVED", "READONLY", "NOAUTH"))
"""What a server answers that was the right one, or knew us, once: the next connection finds it, and logs in."""


def pack(*args: Any) -> bytes:
    """One command, of str, bytes, int and float, in Redis's wire format."""
    return bytes(hiredis.pack_command(args))


def client_name_of(text: str) -> str:
    """``text`` as CLIENT SETNAME takes it, which knows printable ASCII alone: the rest is percent-encoded."""
    return quote(text, safe=string.punctuation)


def is_error(reply: Any) -> bool:
    """Whether a reply, perhaps inside that of a transaction, is an error of Redis."""
    return type(reply) is hiredis.ReplyError


def error_of(reply: hiredis.ReplyError) -> BrokerError:
    """The error of ours for an error reply of Redis; its code says which."""
    text = str(reply).partition(", with args beginning")[0]  # what follows may be a password
    code = text.partition(" ")[0]
    kind: type[BrokerError] = BrokerError
    if code in BUSY_CODES:
        kind = BrokerBusyError
    elif code in ("MOVED", "NOAUTH"):
        kind = BrokerUnavailableError
    return kind(f"Redis refused: {text}", code)
