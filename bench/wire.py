"""A connection that waits for each reply: nothing else stands between a command and the wire."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Any, Self

import hiredis

from auth_worker.brokers.redis.wire.resp import pack


class Wire:
    """A connection to the server, as a context manager."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = hiredis.Reader()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def ask(self, command: bytes) -> Any:
        """Give a packed command and wait for its reply. Raises ``hiredis.ReplyError`` where it is refused."""
        self._socket.sendall(command)
        while (reply := self._reader.gets()) is False:
            self._reader.feed(self._socket.recv(65536))
        if isinstance(reply, hiredis.ReplyError):
            raise reply
        return reply

    def load(self, texts: Iterable[str]) -> None:
        """Have the server know these scripts."""
        for text in texts:
            self.ask(pack("SCRIPT", "LOAD", text))

    def close(self) -> None:
        """Disconnect."""
        self._socket.close()
