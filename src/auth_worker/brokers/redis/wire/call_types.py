"""What can be sent over a connection: commands, and calls that are batched into one command."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from auth_worker.errors import BrokerError

OnReply = Callable[[Any], None]


class Batchable(Protocol):
    """A kind of call that can be batched. Its methods must not raise, since the caller has long returned."""

    def alone(self, call: Any) -> bytes:
        """Return the command for one call with this content."""

    def join(self, calls: Sequence[Any]) -> bytes:
        """Return one command for several calls with these contents. Its reply is a list."""


Call = tuple[Batchable | None, Any]
"""The kind of a call and its content. Without a kind, the content is a command in wire format."""


def resolver(future: asyncio.Future[Any]) -> OnReply:
    """Return a callback that resolves ``future`` with a reply, or with its error, unless it was cancelled."""

    def resolve(reply: Any) -> None:
        if future.cancelled():
            return
        if isinstance(reply, BrokerError):
            future.set_exception(reply)
        else:
            future.set_result(reply)

    return resolve
