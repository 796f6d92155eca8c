"""The pipelined connection: what was sent arrives whole and in order, each reply finds who waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from auth_worker.brokers.redis.wire.pipeline import AT_ONCE, LARGE_REPLY, Connection
from auth_worker.brokers.redis.wire.resp import pack
from auth_worker.errors import BrokerError, BrokerUnavailableError

MANY = 10 * AT_ONCE + 1
BEFORE = 16


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
    assert read_when_written == [AT_ONCE]


async def test_large_replies_are_delivered_one_at_a_time(peer: Peer) -> None:
    """So that the data of one job need not be in memory when that of the next is decoded."""
    large = b"x" * (2 * LARGE_REPLY)
    delivered: list[bytes] = []
    at_turns: list[int] = []
    all_came = asyncio.Event()
    _, writer = await peer.streams

    def answered(reply: bytes) -> None:
        delivered.append(reply)
        asyncio.get_running_loop().call_soon(lambda: at_turns.append(len(delivered)))
        if len(delivered) == AT_ONCE:
            all_came.set()

    async with asyncio.timeout(5):
        for _ in range(2):  # from which it learns how large they are
            first = peer.connection.request(pack("GET", "key"))
            writer.write(b"$%d\r\n%b\r\n" % (len(large), large))
            assert await first == large
        for _ in range(AT_ONCE):
            peer.connection.send(pack("GET", "key"), answered)
        writer.write(b"$%d\r\n%b\r\n" % (len(large), large) * AT_ONCE)
        await all_came.wait()
        await asyncio.sleep(0)
    assert at_turns == list(range(1, AT_ONCE + 1))


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
    with pytest.raises(BrokerUnavailableError, match="nothing waits for"):
        await peer.connection.execute("PING")


class Numbers:
    """A kind of call; together they are one command that begins with how many they are."""

    def alone(self, call: int) -> bytes:
        """The command for one."""
        return pack("NUMBER", call)

    def join(self, calls: Sequence[int]) -> bytes:
        """One command for ``calls``."""
        return pack("NUMBERS", len(calls), *calls)


def send_numbers(peer: Peer, kind: Numbers, count: int) -> list[Any]:
    """Make ``count`` calls, behind so many commands that they wait for each other; gives their replies to be."""
    replies: list[Any] = []
    for number in range(BEFORE):
        peer.connection.send(pack("PING", number), lambda reply: None)
    for number in range(count):
        peer.connection.send_call((kind, number), replies.append)
    return replies


async def replies_until_lost(peer: Peer, answer: bytes, *, ends: bool = False) -> list[Any]:
    """What three calls in a batch get where ``answer`` comes to them and the connection is lost by it."""
    replies = send_numbers(peer, Numbers(), 3)
    _, writer = await peer.streams
    writer.write(b":0\r\n" * BEFORE + answer)
    if ends:
        writer.write_eof()
    async with asyncio.timeout(5):
        await peer.lost.wait()
    return replies


async def test_calls_of_a_kind_that_wait_together_are_one_command(peer: Peer) -> None:
    """What stands between two of them parts them: nothing is done out of turn."""
    kind, other = Numbers(), Numbers()
    send_numbers(peer, kind, 3)
    peer.connection.send_call((other, 7), lambda reply: None)
    peer.connection.send(pack("ECHO", "between"), lambda reply: None)
    peer.connection.send_call((kind, 8), lambda reply: None)
    expected = [
        *(pack("PING", number) for number in range(BEFORE)),
        *(pack("NUMBERS", 3, 0, 1, 2), pack("NUMBER", 7), pack("ECHO", "between"), pack("NUMBER", 8)),
    ]
    reader, _ = await peer.streams
    async with asyncio.timeout(5):
        assert await reader.readexactly(len(b"".join(expected))) == b"".join(expected)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"*3\r\n:5\r\n$1\r\nx\r\n$-1\r\n", [5, b"x", None]),
        (b"*3\r\n*1\r\n:1\r\n*0\r\n:7\r\n", [[1], [], 7]),
        (b"*3\r\n:5\r\n-WRONGTYPE no list\r\n:6\r\n", [5, "WRONGTYPE", 6]),
        (b"-NOSCRIPT unknown\r\n", ["NOSCRIPT"] * 3),
    ],
)
async def test_each_call_of_a_batch_gets_its_reply_and_an_error_of_all_goes_to_all(
    peer: Peer, answer: bytes, expected: list[Any]
) -> None:
    replies = send_numbers(peer, Numbers(), 3)
    last = asyncio.ensure_future(peer.connection.execute("PING"))
    await asyncio.sleep(0)
    _, writer = await peer.streams
    writer.write(b":0\r\n" * BEFORE + answer + b"+PONG\r\n")
    async with asyncio.timeout(5):
        await last
    assert [reply.code if isinstance(reply, BrokerError) else reply for reply in replies] == expected


async def test_a_server_that_has_become_a_replica_is_left_once_the_whole_batch_is_answered(peer: Peer) -> None:
    """What it did before that is known: a job it gave away must not be forgotten."""
    replies = await replies_until_lost(peer, b"*3\r\n:5\r\n-READONLY replica\r\n:6\r\n")
    assert [replies[0], replies[1].code, replies[2]] == [5, "READONLY", 6]


async def test_a_batch_whose_reply_did_not_come_whole_was_not_answered(peer: Peer) -> None:
    replies = await replies_until_lost(peer, b"*3\r\n:5\r\n", ends=True)
    assert len(replies) == 3
    assert all(isinstance(reply, BrokerUnavailableError) for reply in replies)


async def test_a_batch_with_too_few_replies_ends_the_connection(peer: Peer) -> None:
    """Whose they are nobody knows, so nobody gets one."""
    replies = await replies_until_lost(peer, b"*2\r\n:5\r\n:6\r\n")
    assert [str(reply) for reply in replies] == ["Redis answered 3 calls with 2 replies"] * 3


async def test_a_callback_that_raises_takes_no_other_reply_along(peer: Peer) -> None:
    reported: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda loop, context: reported.append(str(context["exception"]))
    )

    def refuse(reply: Any) -> None:
        raise ValueError(f"not {reply}")

    kind, replies = Numbers(), send_numbers(peer, Numbers(), 0)
    for number in range(6):
        peer.connection.send_call((kind, number), refuse if number == 1 else replies.append)
    last = asyncio.ensure_future(peer.connection.execute("PING"))
    await asyncio.sleep(0)
    _, writer = await peer.streams
    numbers = b"".join(b":%d\r\n" % number for number in range(6))
    writer.write(b":9\r\n" * BEFORE + b"*6\r\n" + numbers + b"+PONG\r\n")
    async with asyncio.timeout(5):
        await last
    assert replies == [0, 2, 3, 4, 5]
    assert reported == ["not 1"]
