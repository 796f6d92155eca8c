"""The doctor's findings about a Redis server: version, role, eviction, persistence, permissions."""

from __future__ import annotations

import asyncio

from auth_worker.brokers.redis.operator_links import OperatorLinks
from auth_worker.brokers.redis.server import (
    SAFE_POLICY,
    ServerFacts,
    load_scripts,
    refused_commands,
    server_facts,
)
from auth_worker.brokers.redis.wire.link import Link
from auth_worker.core.report import ACL_REMEDY, Finding
from auth_worker.errors import BrokerError, BrokerUnavailableError

FULL = 0.9


async def server_findings(link: Link, prefix: str) -> list[Finding]:
    """Return what INFO says is wrong. Raises ``BrokerError``."""
    facts = await server_facts(link)
    return [_version(facts), _role(facts, prefix), _eviction(facts), _memory(facts), _persistence(facts)]


async def permission_findings(link: Link, prefix: str) -> list[Finding]:
    """Check that the user may use every command that is needed. Raises ``BrokerError``."""
    refused = await refused_commands(link, prefix)
    if refused:
        return [Finding.fail("permissions", f"the user may not: {', '.join(refused)}", ACL_REMEDY)]
    return [Finding.ok("permissions", "the user may run every command that is needed")]


async def script_findings(link: Link) -> list[Finding]:
    """Check that every script can be loaded. Raises ``BrokerUnavailableError``."""
    try:
        return [Finding.ok("scripts", f"{await load_scripts(link)} scripts loaded")]
    except BrokerUnavailableError:
        raise
    except BrokerError as error:
        remedy = "allow the user +script|load +evalsha"
        return [Finding.fail("scripts", f"a script cannot be loaded: {error}", remedy)]


async def node_findings(links: OperatorLinks) -> list[Finding]:
    """Check that each primary of a cluster answers. Raises ``BrokerUnavailableError`` if none does."""
    nodes = await links.to_each_node()
    results = await asyncio.gather(*(link.execute("PING") for link in nodes), return_exceptions=True)
    away = [link.name.removeprefix("node ") for link, each in zip(nodes, results, strict=True) if each != b"PONG"]
    if away:
        remedy = "bring it back, or promote its replica: its queues and partitions stand still until then"
        return [Finding.fail("nodes", f"no answer from {', '.join(away)}", remedy)]
    return [Finding.ok("nodes", f"{len(nodes)} primaries answer")]


def _version(facts: ServerFacts) -> Finding:
    if facts.is_too_old:
        return Finding.fail("version", f"{facts.software} is too old", "use Redis 6.2 or newer, or Valkey")
    return Finding.ok("version", facts.software)


def _role(facts: ServerFacts, prefix: str) -> Finding:
    if facts.loading:
        return Finding.warn("role", "Redis is loading its data", "wait until it has")
    if facts.role not in ("master", ""):
        return Finding.fail(
            "role",
            f"this is a {facts.role}: it takes no writes",
            "give the primary's address, or use redis+sentinel://, which finds it",
        )
    if facts.cluster and "{" not in prefix:
        return Finding.warn(
            "role", "a node of a cluster", "put the prefix in braces, {bull}, so that a slot holds all"
        )
    return Finding.ok("role", "primary")


def _eviction(facts: ServerFacts) -> Finding:
    if not facts.policy:
        return Finding.warn(
            "eviction", "the maxmemory-policy of Redis is not visible", f"make sure that it is {SAFE_POLICY}"
        )
    if facts.policy != SAFE_POLICY:
        return Finding.fail(
            "eviction",
            f"maxmemory-policy is {facts.policy}: when its memory is full, Redis drops jobs and locks",
            f"redis-cli CONFIG SET maxmemory-policy {SAFE_POLICY}, and the same in redis.conf",
        )
    return Finding.ok("eviction", f"maxmemory-policy {SAFE_POLICY}")


def _memory(facts: ServerFacts) -> Finding:
    used = f"{facts.used_memory / 2**20:.0f} MB used"
    if not facts.max_memory:
        return Finding.ok("memory", f"{used}, no limit")
    share = facts.used_memory / facts.max_memory
    detail = f"{used} of {facts.max_memory / 2**20:.0f} MB"
    if share > FULL:
        remedy = "give it more memory or keep fewer jobs (auth-worker clean): no job can be added once it is full"
        return Finding.fail("memory", detail, remedy)
    return Finding.ok("memory", detail)


def _persistence(facts: ServerFacts) -> Finding:
    if not facts.last_write_ok or (not facts.append_only and not facts.last_snapshot_ok):
        return Finding.fail(
            "persistence",
            "the last write to disk failed",
            "free space on its disk and check its log: a restart would lose what is not written",
        )
    if facts.append_only:
        return Finding.ok("persistence", "append-only file")
    kept = (
        "snapshots only: a restart loses all changes since the last one"
        if facts.snapshots_ever
        else "nothing is written to disk"
    )
    return Finding.warn(
        "persistence",
        kept,
        "redis-cli CONFIG SET appendonly yes, and the same in redis.conf (appendfsync everysec)",
    )
