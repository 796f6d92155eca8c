"""What an operator, or a service at its start, must know of the Redis server itself."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from auth_worker.broker.additions import add_scripts
from auth_worker.broker.link import Link
from auth_worker.broker.store import worker_scripts

OLDEST_VERSION = (6, 2)
SAFE_POLICY = "noeviction"


class ServerFacts(NamedTuple):
    """What INFO says. Bytes are bytes; ``policy`` is "" where the server does not tell."""

    software: str
    version: tuple[int, ...]
    role: str
    policy: str
    max_memory: int
    used_memory: int
    append_only: bool
    last_write_ok: bool
    last_snapshot_ok: bool
    snapshots_ever: bool
    loading: bool
    cluster: bool


async def server_facts(link: Link) -> ServerFacts:
    """Ask the server. Raises ``BrokerError``."""
    text = (await link.execute("INFO")).decode(errors="replace")
    info = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    name = "Valkey" if "valkey_version" in info else "Redis"
    version = info.get("valkey_version") or info.get("redis_version", "")
    return ServerFacts(
        software=f"{name} {version}".strip(),
        version=tuple(int(part) for part in info.get("redis_version", "").split(".") if part.isdigit()),
        role=info.get("role", ""),
        policy=info.get("maxmemory_policy", ""),
        max_memory=_number(info, "maxmemory"),
        used_memory=_number(info, "used_memory"),
        append_only=info.get("aof_enabled") == "1",
        last_write_ok=info.get("aof_last_write_status", "ok") == "ok",
        last_snapshot_ok=info.get("rdb_last_bgsave_status", "ok") == "ok",
        snapshots_ever=_number(info, "rdb_last_bgsave_time_sec", -1) >= 0 or _number(info, "rdb_saves") > 0,
        loading=info.get("loading") == "1",
        cluster=info.get("cluster_enabled") == "1",
    )


async def round_trips(link: Link, count: int = 20) -> list[float]:
    """How long (s) each of ``count`` PINGs took, one after another, sorted. Raises ``BrokerError``."""
    times = []
    for _ in range(count):
        asked = time.perf_counter()
        await link.execute("PING")
        times.append(time.perf_counter() - asked)
    return sorted(times)


async def clock_skew(link: Link) -> float:
    """By how many s the server's clock is ahead of ours (negative: behind), the best of five tries.

    Raises ``BrokerError``.
    """
    tries = []
    for _ in range(5):
        before = time.time()
        seconds, micros = await link.execute("TIME")
        after = time.time()
        tries.append((after - before, int(seconds) + int(micros) / 1e6 - (before + after) / 2))
    return min(tries)[1]


async def load_scripts(link: Link) -> int:
    """Load every script that workers and producers call; returns how many. Raises ``BrokerError``."""
    scripts: list[Any] = [*worker_scripts(), *add_scripts()]
    for one in scripts:
        await link.execute("SCRIPT", "LOAD", one.text)
    return len(scripts)


def _number(info: dict[str, str], field: str, default: int = 0) -> int:
    try:
        return int(info.get(field, default))
    except ValueError:
        return default
