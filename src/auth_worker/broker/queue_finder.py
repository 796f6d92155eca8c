"""Finding what nobody told us of: the queues under a prefix, and the workers connected to them."""

from __future__ import annotations

import base64
import re
import time
from typing import NamedTuple

from auth_worker.broker.link import Link
from auth_worker.broker.wire import client_name_of

PAGE = 1000
BUDGET_S = 5.0
"""For how long (s) to look through the keys of a large database; one step takes well under a ms."""
_FIELD = re.compile(r"(\S+?)=(\S*)")


class WorkerConnection(NamedTuple):
    """A connection named after a queue, as a worker's is. Ages are s."""

    queue: str
    worker: str
    address: str
    connected_s: int
    idle_s: int


def glob_escaped(text: str) -> str:
    """``text`` for a pattern of Redis (SCAN MATCH, ACL) in which it stands for itself."""
    return re.sub(r"[*?\[\]\\]", r"\\\g<0>", text)


async def find_queues(link: Link, prefix: str, budget: float = BUDGET_S) -> tuple[list[str], bool]:
    """The queues under ``prefix`` by name, and whether all keys were looked at within ``budget`` s.

    A queue is known by its ``meta`` key, which the first job writes. Raises ``BrokerError``.
    """
    names: set[str] = set()
    cursor, deadline = b"0", time.monotonic() + budget
    while True:
        cursor, keys = await link.execute("SCAN", cursor, "MATCH", f"{glob_escaped(prefix)}:*:meta", "COUNT", PAGE)
        for key in keys:
            name = key.decode(errors="replace")[len(prefix) + 1 : -len(":meta")]
            if ":" not in name:
                names.add(name)
        if cursor == b"0":
            return sorted(names), True
        if time.monotonic() > deadline:
            return sorted(names), False


async def find_prefixes(link: Link, budget: float = 1.0) -> list[str]:
    """The prefixes that have queues, among the keys seen within ``budget`` s. Raises ``BrokerError``."""
    found: set[str] = set()
    cursor, deadline = b"0", time.monotonic() + budget
    while True:
        cursor, keys = await link.execute("SCAN", cursor, "MATCH", "*:*:meta", "COUNT", PAGE)
        found.update(key.decode(errors="replace").rsplit(":", 2)[0] for key in keys)
        if cursor == b"0" or time.monotonic() > deadline:
            return sorted(found)


async def find_workers(link: Link, prefix: str) -> list[WorkerConnection]:
    """The workers of all queues under ``prefix``, as Node's ``getWorkers`` sees them. Raises ``BrokerError``.

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
    return WorkerConnection(
        queue, worker, fields.get("addr", ""), int(fields.get("age") or 0), int(fields.get("idle") or 0)
    )
