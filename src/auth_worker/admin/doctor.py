"""The doctor: looks at the broker and the queues for what loses jobs or holds them up, and says the remedy."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from auth_worker.admin.doctor_queues import queue_findings
from auth_worker.admin.doctor_schedulers import scheduler_findings
from auth_worker.admin.models import Diagnosis, Finding
from auth_worker.admin.queues import QueueOperations
from auth_worker.broker.link import Link
from auth_worker.broker.permissions import acl_rule, refused_commands
from auth_worker.broker.server_facts import (
    OLDEST_VERSION,
    SAFE_POLICY,
    ServerFacts,
    clock_skew,
    load_scripts,
    round_trips,
    server_facts,
)
from auth_worker.errors import BrokerError, BrokerUnavailableError

SLOW_S, SLUGGISH_S = 0.1, 0.02
SKEW_FAIL_S, SKEW_WARN_S = 30.0, 2.0
FULL = 0.9


class Doctor:
    """Examines the Redis behind ``link`` and the queues under ``prefix``."""

    def __init__(self, link: Link, prefix: str, queues: QueueOperations) -> None:
        self._link = link
        self._prefix = prefix
        self._queues = queues

    async def examine(self) -> Diagnosis:
        """Look at everything. Raises ``BrokerUnavailableError`` where there is no Redis to look at."""
        findings: list[Finding] = []
        examinations = (
            self._server,
            self._permissions,
            self._scripts,
            self._latency,
            self._clock,
            self._look_at_queues,
        )
        for examination in examinations:
            findings += await self._attempt(examination)
        return Diagnosis(
            healthy=all(finding.level != "fail" for finding in findings),
            broker=str(self._link.address),
            findings=findings,
            acl=acl_rule(self._prefix, cluster=bool(self._link.address.cluster)),
        )

    async def _attempt(self, examination: Callable[[], Awaitable[list[Finding]]]) -> list[Finding]:
        try:
            return await examination()
        except BrokerUnavailableError:
            raise
        except BrokerError as error:
            name = examination.__name__.strip("_").replace("_", " ")
            return [Finding(level="warn", name=name, detail=f"not examined: {error}", remedy=ACL_REMEDY)]

    async def _server(self) -> list[Finding]:
        facts = await server_facts(self._link)
        return [_version(facts), _role(facts, self._prefix), _eviction(facts), _memory(facts), _persistence(facts)]

    async def _permissions(self) -> list[Finding]:
        refused = await refused_commands(self._link, self._prefix)
        if refused:
            return [_fail("permissions", f"the user may not: {', '.join(refused)}", ACL_REMEDY)]
        return [_ok("permissions", "every command that is needed may be given")]

    async def _scripts(self) -> list[Finding]:
        try:
            return [_ok("scripts", f"{await load_scripts(self._link)} scripts loaded")]
        except BrokerUnavailableError:
            raise
        except BrokerError as error:
            return [
                _fail("scripts", f"a script cannot be loaded: {error}", "allow the user +script|load +evalsha")
            ]

    async def _latency(self) -> list[Finding]:
        times = await round_trips(self._link)
        middle, longest = times[len(times) // 2], times[-1]
        detail = f"round trip {middle * 1000:.2g} ms, at most {longest * 1000:.2g} ms"
        remedy = (
            "put the workers next to Redis, or give them more concurrency; look for slow commands: SLOWLOG GET"
        )
        if middle > SLUGGISH_S or longest > SLOW_S:
            return [_warn("latency", detail, remedy)]
        return [_ok("latency", detail)]

    async def _clock(self) -> list[Finding]:
        skew = await clock_skew(self._link)
        detail = f"Redis is {abs(skew):.3f} s {'ahead of' if skew > 0 else 'behind'} this machine"
        remedy = "let NTP (chrony, systemd-timesyncd) set both clocks: delays and ages are off by as much"
        if abs(skew) > SKEW_FAIL_S:
            return [_fail("clock", detail, remedy)]
        if abs(skew) > SKEW_WARN_S:
            return [_warn("clock", detail, remedy)]
        return [_ok("clock", detail)]

    async def _look_at_queues(self) -> list[Finding]:
        found = await self._queues.overview()
        names = [queue.name for queue in found.queues]
        return [
            *await queue_findings(self._link, self._prefix, found),
            *await scheduler_findings(self._link, self._prefix, names),
        ]


ACL_REMEDY = "give the user what `auth-worker doctor --acl` prints"


def _version(facts: ServerFacts) -> Finding:
    if facts.version and facts.version < OLDEST_VERSION:
        return _fail("version", f"{facts.software} is too old", "use Redis 6.2 or newer, or Valkey")
    return _ok("version", facts.software)


def _role(facts: ServerFacts, prefix: str) -> Finding:
    if facts.loading:
        return _warn("role", "Redis is loading its data", "wait until it has")
    if facts.role not in ("master", ""):
        return _fail(
            "role",
            f"this is a {facts.role}: it takes no writes",
            "give the primary's address, or redis+sentinel://, which finds it",
        )
    if facts.cluster and "{" not in prefix:
        return _warn("role", "a node of a cluster", "give the prefix in braces, {bull}, so that a slot holds all")
    return _ok("role", "primary")


def _eviction(facts: ServerFacts) -> Finding:
    if not facts.policy:
        return _warn("eviction", "Redis does not tell its maxmemory-policy", f"see to it that it is {SAFE_POLICY}")
    if facts.policy != SAFE_POLICY:
        return _fail(
            "eviction",
            f"maxmemory-policy is {facts.policy}: when its memory is full, Redis drops jobs and locks",
            f"redis-cli CONFIG SET maxmemory-policy {SAFE_POLICY}, and the same in redis.conf",
        )
    return _ok("eviction", f"maxmemory-policy {SAFE_POLICY}")


def _memory(facts: ServerFacts) -> Finding:
    used = f"{facts.used_memory / 2**20:.0f} MB used"
    if not facts.max_memory:
        return _ok("memory", f"{used}, no limit")
    share = facts.used_memory / facts.max_memory
    detail = f"{used} of {facts.max_memory / 2**20:.0f} MB"
    if share > FULL:
        remedy = (
            "give it more memory, or keep fewer jobs (auth-worker clean): when it is full, no job can be added"
        )
        return _fail("memory", detail, remedy)
    return _ok("memory", detail)


def _persistence(facts: ServerFacts) -> Finding:
    if not facts.last_write_ok or (not facts.append_only and not facts.last_snapshot_ok):
        return _fail(
            "persistence",
            "the last write to disk failed",
            "make room on its disk and look into its log: a restart would lose what is not written",
        )
    if facts.append_only:
        return _ok("persistence", "append-only file")
    kept = (
        "snapshots only: a restart loses what came after the last"
        if facts.snapshots_ever
        else "nothing is on disk"
    )
    return _warn(
        "persistence",
        kept,
        "redis-cli CONFIG SET appendonly yes, and the same in redis.conf (appendfsync everysec)",
    )


def _ok(name: str, detail: str) -> Finding:
    return Finding(level="ok", name=name, detail=detail)


def _warn(name: str, detail: str, remedy: str) -> Finding:
    return Finding(level="warn", name=name, detail=detail, remedy=remedy)


def _fail(name: str, detail: str, remedy: str) -> Finding:
    return Finding(level="fail", name=name, detail=detail, remedy=remedy)
