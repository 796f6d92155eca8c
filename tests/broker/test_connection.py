"""The pipelined connection: what was sent arrives whole and in order, each reply finds who waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from auth_worker.broker.connection import READ_AT_ONCE, Connection, pack
from auth_worker.errors import BrokerError, BrokerUnavailableError

MANY = 10 * READ_AT_ONCE + 1


class Peer:
    """The other end of one connection, byte by byte."""

    def __init__(self) -> None:
        self.streams: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]]
        self.lost = asyncio.Event()
        self.connection: Connection

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Keep the streams for the test."""
        self.streams.set_result((reader, writer))
        await self.lost.wait()
        writer.close()


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    peer = Peer()
    loop = asyncio.get_running_loop()
    peer.streams = loop.create_future()
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    _, peer.connection = await loop.create_connection(
        lambda: Connection(lambda connection, error: peer.lost.set()), "127.0.0.1", port
    )
    await peer.streams
    async with server:
        yield peer
        peer.connection.close("the test is over")


async def test_replies_that_came_before_the_line_broke_are_handed_on(peer: Peer) -> None:
    """However many came together: a job that Redis has given away must not be forgotten."""
    replies: list[Any] = []
    for number in range(MANY + 1):
        peer.connection.send(pack("PING", number), replies.append)
    _, writer = await peer.streams
    writer.write(b"".join(b":%d\r\n" % number for number in range(MANY)))
    writer.write_eof()
    async with asyncio.timeout(5):
        await peer.lost.wait()
    assert replies[:MANY] == list(range(MANY))
    assert isinstance(replies[MANY], BrokerUnavailableError)


async def test_what_follows_a_reply_is_written_before_the_last_one_is_read(peer: Peer) -> None:
    """Redis works on the first jobs' next commands while the other replies are still to be read."""
    read_when_written: list[int] = []
    replies: list[Any] = []
    all_came = asyncio.Event()

    def answered(reply: Any) -> None:
        replies.append(reply)
        if len(replies) == MANY:
            all_came.set()
        if len(replies) == 1:
            asyncio.get_running_loop().call_soon(lambda: read_when_written.append(len(replies)))

    for number in range(MANY):
        peer.connection.send(pack("PING", number), answered)
    _, writer = await peer.streams
    writer.write(b"".join(b":%d\r\n" % number for number in range(MANY)))
    async with asyncio.timeout(5):
        await all_came.wait()
    assert read_when_written == [READ_AT_ONCE]


async def test_more_than_the_socket_takes_arrives_whole_and_in_order(peer: Peer) -> None:
    """Some of it goes to the socket, the rest waits in the transport; nothing may overtake."""
    commands = [
        pack("SET", number, b"%d" % number * size) for number, size in ((1, 3_000_000), (2, 10), (3, 5000))
    ]
    for command in commands:
        peer.connection.send(command, lambda reply: None)
    reader, _ = await peer.streams
    async with asyncio.timeout(10):
        assert await reader.readexactly(sum(map(len, commands))) == b"".join(commands)


async def test_a_refusal_that_comes_before_the_first_command_is_the_answer_to_it(peer: Peer) -> None:
    """As of a server in protected mode, or with too many clients, when it is quicker than we are."""
    _, writer = await peer.streams
    writer.write(b"-DENIED Redis is running in protected mode\r\n")
    async with asyncio.timeout(5):
        await peer.lost.wait()
    with pytest.raises(BrokerError, match="protected mode") as refusal:
        await peer.connection.execute("PING")
    assert refusal.value.code == "DENIED"
    assert not isinstance(refusal.value, BrokerUnavailableError), "trying again will not help"


async def test_an_answer_to_nothing_ends_the_connection(peer: Peer) -> None:
    """What stands on the other end is no Redis, or counts its replies otherwise than we do."""
    _, writer = await peer.streams
    writer.write(b"+OK ready\r\n")
    async with asyncio.timeout(5):
        await peer.lost.wait()
    with pytest.raises(BrokerUnavailableError, match="nobody waits for"):
        await peer.connection.execute("PING")
