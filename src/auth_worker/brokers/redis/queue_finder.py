"""Finds the queues under a prefix, and the workers connected to them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import math
import re
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

from auth_worker.brokers.redis.text_codec import glob_escaped
from auth_worker.brokers.redis.wire.link import Link
from auth_worker.brokers.redis.wire.resp import client_name_of
from auth_worker.core.keys import key_prefix
from auth_worker.core.ports.values import WorkerConnection
from auth_worker.errors import BrokerError, BrokerUnavailableError

PAGE = 1000
BUDGET_S = 5.0
"""How long (s) to read the keys of a large database. One step takes well under a ms."""
MANY_PAGES = 20
"""If there are more pages of keys, the names of the queues are kept."""
KEPT_S, LONGEST_KEPT_S, HURRY_S = 60.0, 120.0, 0.2
"""After how long (s) they are read again in the background, and after how long at once, for so long at most."""
PAUSE_S = 0.1
"""How long (s) the background search rests after each page, so that it takes a hundredth of Redis's time."""
_AMBIGUOUS = 3
"""From this many colons on, a key that ends in ``:meta`` may also belong to a queue with a shorter prefix."""
_FIELD = re.compile(r"(\S+?)=(\S*)")
_UNIX_SOCKET = re.compile(r"\[?(/.*?):0(?:\]:0)?")
"""The address of a client on a unix socket: ``/path:0``, in some releases of Valkey ``[/path:0]:0``."""


class QueueFinder:
    """Finds the queues under ``prefix`` on the nodes that ``links`` returns. Belongs to one event loop.

    A queue is known by its ``meta`` key, which the first job writes, so that all keys have to be read. Where they
    are many, the names are kept, and read again slowly in the background while somebody asks for them.
    """

    def __init__(self, links: Callable[[], Awaitable[Sequence[Link]]], prefix: str) -> None:
        self._links = links
        self._prefix = prefix
        self._kept: tuple[float, frozenset[str]] | None = None
        self._turn = asyncio.Lock()
        self._refreshing: asyncio.Task[None] | None = None

    async def find(self, budget: float = BUDGET_S) -> tuple[list[str], bool]:
        """Return the queues by name, and whether all keys were read within ``budget`` s.

        With a million keys, a queue may be missing for three minutes after its first job. Raises ``BrokerError``.
        """
        async with self._turn:  # whoever waits meanwhile takes what the one before has found
            if self._kept is None:
                return await self._search(budget)
            age = time.monotonic() - self._kept[0]
            is_refreshing = self._refreshing is not None and not self._refreshing.done()
            if age >= LONGEST_KEPT_S and not is_refreshing:
                found, complete = await self._search(min(budget, HURRY_S))
                if complete:
                    return found, True
                self._add(found)
            if age > KEPT_S and not is_refreshing:
                self._refreshing = asyncio.create_task(self._refresh(), name="find queues")
            return sorted(self._kept[1]), True

    def forget(self) -> None:
        """Forget what was found, since a queue was removed."""
        self._kept = None
        if self._refreshing is not None:
            self._refreshing.cancel()

    async def _refresh(self) -> None:
        with contextlib.suppress(BrokerError):
            await self._search(math.inf, PAUSE_S)

    async def _search(self, budget: float, pause: float = 0.0) -> tuple[list[str], bool]:
        deadline, pages, complete = time.monotonic() + budget, 0, True
        names: set[str] = set()
        links = await self._links()
        for link in links:
            try:
                found, read, ended = await self._search_node(link, deadline, pause)
            except BrokerUnavailableError:
                if len(links) == 1:
                    raise
                complete = False  # the queues of the other nodes are shown
            else:
                names.update(found)
                pages, complete = pages + read, complete and ended
        if complete:
            self._kept = (time.monotonic(), frozenset(names)) if pages > MANY_PAGES else None
        return sorted(names), complete

    async def _search_node(self, link: Link, deadline: float, pause: float) -> tuple[list[str], int, bool]:
        """Return the queues of a node, how many pages were read, and whether that was all before ``deadline``."""
        checked: set[str] = set()
        found: list[str] = []
        pattern = f"{glob_escaped(self._prefix)}:*:meta"
        cursor, pages = b"0", 0
        while True:
            cursor, keys = await link.execute("SCAN", cursor, "MATCH", pattern, "COUNT", PAGE)
            pages += 1
            names = {key.decode(errors="replace")[len(self._prefix) + 1 : -len(":meta")] for key in keys}
            new = {name for name in names - checked if ":" not in name}
            checked |= new
            metas = await _metas(link, {name: f"{key_prefix(self._prefix, name)}meta".encode() for name in new})
            found += metas
            self._add(metas)
            complete = cursor == b"0"
            if complete or time.monotonic() > deadline:
                return found, pages, complete
            if pause:
                await asyncio.sleep(pause)

    def _add(self, names: Collection[str]) -> None:
        """Add queues to those that are kept, before the search that found them has ended."""
        if self._kept is not None and not self._kept[1].issuperset(names):
            self._kept = self._kept[0], self._kept[1] | set(names)


async def find_prefixes(link: Link, budget: float = 1.0) -> list[str]:
    """Return the prefixes that have queues, among the keys read within ``budget`` s. Raises ``BrokerError``."""
    found: dict[str, bytes] = {}
    cursor, deadline = b"0", time.monotonic() + budget
    while True:
        cursor, keys = await link.execute("SCAN", cursor, "MATCH", "*:*:meta", "COUNT", PAGE)
        found.update((key.decode(errors="replace"), key) for key in keys)
        if cursor == b"0" or time.monotonic() > deadline:
            return sorted({name.rsplit(":", 2)[0] for name in await _metas(link, found)})


async def _metas(link: Link, found: Mapping[str, bytes]) -> list[str]:
    """Return the names of those keys that are a queue's ``meta``.

    ``app:mail:repeat:meta`` may be that of the queue ``repeat`` under the prefix ``app:mail``, or the scheduler
    ``meta`` of the queue ``mail`` under ``app``, as ``app:mail:a:b:meta`` may be its job ``a:b:meta``. A job and a
    scheduler have a name, a ``meta`` has none. A key of three parts is always a ``meta``.
    """

    async def is_meta(key: bytes) -> bool:
        if key.count(b":") < _AMBIGUOUS:
            return True
        try:
            return await link.execute("TYPE", key) == b"hash" and not await link.execute("HEXISTS", key, "name")
        except BrokerUnavailableError:
            raise
        except BrokerError:  # an ACL may show the names of keys that it lets nobody read
            return True

    names = list(found)
    metas: list[str] = []
    for start in range(0, len(names), PAGE):
        page = names[start : start + PAGE]
        answers = await asyncio.gather(*(is_meta(found[name]) for name in page))
        metas += [name for name, answer in zip(page, answers, strict=True) if answer]
    return metas


async def find_workers(link: Link, prefix: str) -> list[WorkerConnection]:
    """Return the workers of all queues under ``prefix``, as Node's ``getWorkers`` does. Raises ``BrokerError``.

    Source: Queue.getWorkers; a worker names its connection ``prefix:base64(queue)[:w:name]``.
    """
    listing = await link.execute("CLIENT", "LIST", "TYPE", "normal")
    start = client_name_of(f"{prefix}:")
    found = (_worker_of(line, start) for line in listing.decode(errors="replace").splitlines())
    return sorted(worker for worker in found if worker is not None)


def _worker_of(line: str, start: str) -> WorkerConnection | None:
    fields = dict(_FIELD.findall(line))
    name = fields.get("name", "")
    if not name.startswith(start):
        return None
    encoded, mark, worker = name[len(start) :].partition(":w:")
    if not mark and ":" in encoded:
        return None
    try:
        queue = base64.b64decode(encoded, validate=True).decode()
    except ValueError:
        return None
    address = fields.get("addr", "")
    if on_socket := _UNIX_SOCKET.fullmatch(address):
        address = on_socket[1]
    return WorkerConnection(queue, worker, address, int(fields.get("age") or 0), int(fields.get("idle") or 0))
