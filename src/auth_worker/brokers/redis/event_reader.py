"""Reads the event streams of all queues whose jobs somebody awaits, with one blocking XREAD over one connection.

The queues of an event loop that are on one Redis share it; in a cluster, those of one hash tag. A queue that joins
ends the read that is under way by CLIENT UNBLOCK, as the doorbell does: a shorter blocking time would ask an idle
Redis many times a second, and a stream that serves as a bell would be a key more to write, to allow and to trim.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Hashable, Sequence
from typing import Any, Protocol

from auth_worker.brokers.redis.wire.address import Address
from auth_worker.brokers.redis.wire.link import Link
from auth_worker.brokers.redis.wire.resp import pairs_of
from auth_worker.errors import BrokerError, BrokerUnavailableError
from auth_worker.system.loops import PerLoop, discard_task

BLOCK_S = 5.0
BLIND_BLOCK_S = 0.5
"""The blocking time if Redis does not let us end a read early (no CLIENT UNBLOCK)."""
PAGE = 1000
LOOK_AGAIN_S = 30.0
LINGER_S = 5.0
"""How long (s) a stream is read for after the last wait on it, so that waits one after another join once."""
PAUSE_S = 0.2
UNBLOCK_PAUSE_S = 0.01
CLOSED = "the queue was closed while the result of a job was awaited"
Fields = dict[bytes, bytes]


class Follower(Protocol):
    """The callers that wait for jobs of one queue."""

    @property
    def is_waiting(self) -> bool:
        """Whether anybody waits."""

    def handle(self, events: Sequence[Fields]) -> None:
        """Handle the next events of the queue."""

    def missed(self) -> None:
        """Handle that events may have been missed."""


class _Stream:
    """An event stream, read after ``last``; None where that is not known."""

    def __init__(self, last: bytes | None) -> None:
        self.last = last
        self.followers: set[Follower] = set()
        self.used = time.monotonic()
        self.is_behind = False


class EventReader:
    """The reader of one Redis. Lives as long as it has users: followers that are not yet detached."""

    def __init__(self, address: Address) -> None:
        self._users: set[Follower] = set()
        self._link = Link(
            address,
            name=f"results {address.tag}".strip(),
            client_name="auth-worker:results",
            silence_limit=BLOCK_S + 3,
        )
        self._streams: dict[bytes, _Stream] = {}
        self._listening: frozenset[bytes] | None = None
        """The streams of the read that is under way, if one is."""
        self._joined = asyncio.Event()
        self._joining: dict[bytes, asyncio.Task[None]] = {}
        self._opening: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[None] | None = None
        self._waking: asyncio.Task[None] | None = None
        self._is_blind = False
        self._looked = time.monotonic()

    async def follow(self, key: bytes, follower: Follower, asking: Link, timeout: float) -> None:
        """Pass on the events of the stream ``key`` from now on. ``asking`` is a link that does not block.

        Connects at first, within ``timeout`` s. Raises ``BrokerError``.
        """
        if self._opening is None or (self._opening.done() and self._reading is None):
            self._opening = asyncio.get_running_loop().create_task(self._open(timeout))
        await _until_done(self._opening)
        while key not in self._streams:
            joining = self._joining.get(key)
            if joining is None:
                joining = self._joining[key] = asyncio.get_running_loop().create_task(self._join(key, asking))
            await _until_done(joining)
        stream = self._streams[key]
        stream.followers.add(follower)
        stream.used = time.monotonic()

    def attach(self, follower: Follower) -> None:
        """Make ``follower`` a user."""
        self._users.add(follower)

    def leave(self, follower: Follower) -> bool:
        """Pass nothing on to ``follower`` any more. Returns whether nobody uses the reader now."""
        self._users.discard(follower)
        for stream in self._streams.values():
            stream.followers.discard(follower)
        return not self._users

    async def close(self) -> None:
        """Disconnect."""
        try:
            if tasks := self._tasks():
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
        finally:
            await self._link.stop()

    def discard(self) -> None:
        """Release the connection without the event loop."""
        for task in self._tasks():
            discard_task(task)
        self._link.discard()

    def _tasks(self) -> list[asyncio.Task[None]]:
        found = [self._opening, self._reading, self._waking, *self._joining.values()]
        return [task for task in found if task is not None]

    async def _open(self, timeout: float) -> None:
        await self._link.start(timeout)
        self._reading = asyncio.get_running_loop().create_task(self._read(), name="results")

    async def _join(self, key: bytes, asking: Link) -> None:
        """Begin to read a stream, once for all that come to wait for it at a time."""
        try:
            self._streams[key] = _Stream(await newest_of(asking, key))
        finally:
            del self._joining[key]
        self._joined.set()
        if self._waking is None or self._waking.done():
            self._waking = asyncio.get_running_loop().create_task(self._end_read(asking))

    async def _end_read(self, asking: Link) -> None:
        """End the read that is under way as long as it lacks a stream. It may begin after the first attempt."""
        while self._listening is not None and not self._streams.keys() <= self._listening:
            if not self._link.client_id:
                return
            try:
                await asking.execute("CLIENT", "UNBLOCK", self._link.client_id)
            except BrokerError as error:
                self._is_blind = error.code == "NOPERM"
                return
            await asyncio.sleep(UNBLOCK_PAUSE_S)

    async def _read(self) -> None:
        while True:
            try:
                await self._read_once()
            except BrokerError:
                await asyncio.sleep(PAUSE_S)
                await self._link.wait_up()
                for stream in self._streams.values():  # after a restart of Redis its ids may be lower
                    stream.last = None

    async def _read_once(self) -> None:
        self._drop_unused()
        if not self._streams:
            self._joined.clear()
            await self._joined.wait()
        await self._place_streams()
        streams = {key: stream for key, stream in self._streams.items() if stream.last is not None}
        if not streams:
            await asyncio.sleep(PAUSE_S)
            return
        block = BLIND_BLOCK_S if self._is_blind or not self._link.client_id else BLOCK_S
        lasts = [stream.last or b"" for stream in streams.values()]
        self._listening = frozenset(self._streams)
        try:
            read = await self._link.execute(
                "XREAD", "COUNT", PAGE, "BLOCK", round(block * 1000), "STREAMS", *streams, *lasts
            )
        finally:
            self._listening = None
        for key, entries in read or ():
            _pass_on(streams[key], entries)
        if time.monotonic() - self._looked > LOOK_AGAIN_S:
            self._looked = time.monotonic()
            for stream in self._streams.values():
                _tell_of_gap(stream)

    def _drop_unused(self) -> None:
        now = time.monotonic()
        for key, stream in list(self._streams.items()):
            if any(follower.is_waiting for follower in stream.followers):
                stream.used = now
            elif now - stream.used > LINGER_S:
                del self._streams[key]

    async def _place_streams(self) -> None:
        """Find the ends of the streams after a gap. One that cannot be read is left out, and ends no others."""
        for key, stream in list(self._streams.items()):
            if stream.last is None:
                try:
                    stream.last = await newest_of(self._link, key)
                except BrokerError as error:
                    if error.code not in ("NOPERM", "WRONGTYPE"):
                        raise
                _tell_of_gap(stream)


class EventReaders:
    """The readers of one event loop."""

    def __init__(self) -> None:
        self._readers: dict[Hashable, EventReader] = {}

    def attach(self, address: Address, follower: Follower) -> EventReader:
        """Make ``follower`` a user of the reader for ``address``, and return that."""
        reader = self._readers.get(address.identity)
        if reader is None:
            reader = self._readers[address.identity] = EventReader(address)
        reader.attach(follower)
        return reader

    async def detach(self, reader: EventReader, follower: Follower) -> None:
        """End the use by ``follower``, and the reader with its last user."""
        if reader.leave(follower):
            self._forget(reader)
            await reader.close()

    def abandon(self, reader: EventReader, follower: Follower) -> None:
        """As ``detach``, without the event loop."""
        if reader.leave(follower):
            self._forget(reader)
            reader.discard()

    async def close(self) -> None:
        """Close all readers."""
        await asyncio.gather(*(reader.close() for reader in self._readers.values()))
        self._readers.clear()

    def discard(self) -> None:
        """Release all connections without the event loop."""
        for reader in self._readers.values():
            reader.discard()
        self._readers.clear()

    def _forget(self, reader: EventReader) -> None:
        self._readers = {key: each for key, each in self._readers.items() if each is not reader}


async def _until_done(task: asyncio.Task[None]) -> None:
    """Wait for a task of a reader. Raises what it raises; ``BrokerUnavailableError`` once the reader is closed."""
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.cancelled():
            raise
        raise BrokerUnavailableError(CLOSED) from None


async def newest_of(link: Link, key: bytes) -> bytes:
    """Return the id of the newest entry of a stream. Raises ``BrokerError``."""
    newest: Sequence[Any] = await link.execute("XREVRANGE", key, "+", "-", "COUNT", 1)
    return newest[0][0] if newest else b"0-0"


def _pass_on(stream: _Stream, entries: Sequence[tuple[bytes, Sequence[bytes]]]) -> None:
    stream.last = entries[-1][0]
    events = [pairs_of(flat) for _, flat in entries]
    for follower in list(stream.followers):
        follower.handle(events)
    was_behind, stream.is_behind = stream.is_behind, len(entries) == PAGE
    if was_behind and not stream.is_behind:
        _tell_of_gap(stream)  # once it has caught up: to look after each page takes quadratic time


def _tell_of_gap(stream: _Stream) -> None:
    for follower in list(stream.followers):
        follower.missed()


event_readers: PerLoop[EventReaders] = PerLoop(EventReaders)
"""Those of this process."""
