"""Facts about the Redis server itself: version, memory, clock, and what the current user may do."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from auth_worker.brokers.redis.additions import add_scripts
from auth_worker.brokers.redis.scripts.loader import own_script
from auth_worker.brokers.redis.text_codec import glob_escaped
from auth_worker.brokers.redis.wire.batch import execute_all
from auth_worker.brokers.redis.wire.link import Link
from auth_worker.brokers.redis.worker import worker_scripts
from auth_worker.errors import BrokerError, BrokerUnavailableError

OLDEST_VERSION = (6, 2)
SAFE_POLICY = "noeviction"
_ON_KEY: dict[str, str] = {
    **dict.fromkeys(("exists", "get", "incr", "persist", "pttl", "type"), ""),
    **dict.fromkeys(
        ("hgetall", "hkeys", "hlen", "llen", "lpop", "rpop", "scard", "smembers", "zcard", "zpopmin"), ""
    ),
    **dict.fromkeys(("hdel", "hexists", "hget", "hmget", "hstrlen", "lpos", "sismember", "srem", "zscore"), "f"),
    **dict.fromkeys(("set", "lpush", "rpush", "sadd", "zrem"), "1"),
    **dict.fromkeys(("lrange", "ltrim", "zrange", "zrevrange", "zcount", "zremrangebyrank"), "0 1"),
    **dict.fromkeys(("zrangebyscore", "zrevrangebyscore", "zremrangebyscore"), "0 1"),
    **dict.fromkeys(("hset", "hmset", "hincrby"), "f 1"),
    **dict.fromkeys(("hscan", "sscan", "lindex"), "0"),
    **dict.fromkeys(("lrem", "lset"), "0 x"),
    **{"mget": "", "pexpire": "9999", "zadd": "1 m", "rename": "KEY", "rpoplpush": "KEY"},
    **{"xadd": "* f v", "xrevrange": "+ - COUNT 1", "xtrim": "MAXLEN 1", "del": ""},
}
"""The commands that scripts and this package use, with arguments that do no harm to a key of the probe's own."""
_OTHERS = (
    *("client|id", "client|list", "client|setname", "client|unblock"),
    *("bzpopmin", "eval", "evalsha", "exec", "info", "multi", "ping", "scan", "script|load", "select"),
    *("time", "unwatch", "watch", "xread"),
)
_HARMLESS = (
    ("client|id", ("CLIENT", "ID")),
    ("client|list", ("CLIENT", "LIST", "ID", "0")),
    ("client|unblock", ("CLIENT", "UNBLOCK", "0")),
    ("info", ("INFO", "server")),
    ("scan", ("SCAN", "0", "COUNT", "1")),
    ("time", ("TIME",)),
    ("watch", ("WATCH", "KEY")),
    ("unwatch", ("UNWATCH",)),
    ("xread", ("XREAD", "COUNT", "1", "STREAMS", "KEY", "0")),
)
_PROBE = """
local refused = {}
for line in string.gmatch(ARGV[1], "[^\\n]+") do
  local words = {}
  for word in string.gmatch(line, "%S+") do table.insert(words, word == "KEY" and KEYS[1] or word) end
  local reply = redis.pcall(unpack(words))
  local text = type(reply) == "table" and reply.err or ""
  if string.find(text, "NOPERM") or string.find(text, "ACL") or string.find(text, "permission")
  or string.find(text, "can't run this command") then table.insert(refused, words[1]) end
end
return refused
"""


class ServerFacts(NamedTuple):
    """What INFO says. Memory is in bytes; ``policy`` is empty if the server does not show it."""

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

    @property
    def is_too_old(self) -> bool:
        """Whether BullMQ's scripts do not run on it. An unknown version is taken for new enough."""
        return bool(self.version) and self.version < OLDEST_VERSION


async def server_facts(link: Link) -> ServerFacts:
    """Read the server's facts. Raises ``BrokerError``."""
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


async def clock_skew(link: Link) -> float:
    """Return how far (s) the server's clock is ahead of ours (negative: behind), the best of five tries.

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
    """Load every script that workers and producers call, and return how many. Raises ``BrokerError``."""
    scripts: list[Any] = [*worker_scripts(), *add_scripts()]
    await execute_all(link, [("SCRIPT", "LOAD", one.text) for one in scripts])
    return len(scripts)


def needed_commands() -> list[str]:
    """Return every command that workers, producers and operators use, as an ACL names it."""
    return sorted({*_ON_KEY, *_OTHERS})


def acl_rule(prefix: str, user: str = "auth-worker", *, cluster: bool = False) -> str:
    """Return the minimal ACL of a user, as a command for redis-cli with a placeholder for the password."""
    needed = sorted([*needed_commands(), *(["cluster|slots"] if cluster else [])])
    commands = " ".join(f"+{name}" for name in needed)
    keys = glob_escaped(prefix).replace(" ", "?")  # a pattern may not have blanks
    return f"ACL SETUSER {user} on >PASSWORD resetkeys ~{keys}:* resetchannels -@all {commands}"


def sentinel_acl_rule(user: str = "auth-worker") -> str:
    """Return the same for a user of the sentinels, which have users of their own."""
    return f"ACL SETUSER {user} on >PASSWORD resetkeys resetchannels -@all +sentinel|get-master-addr-by-name"


async def refused_commands(link: Link, prefix: str) -> list[str]:
    """Return the needed commands that the current user may not use. Raises ``BrokerError``.

    Each is tried on a key of its own, within one script, which removes the key again.
    """
    key = f"{prefix}:auth-worker-doctor"
    lines = "\n".join(f"{name} KEY {arguments}".strip() for name, arguments in _ON_KEY.items())
    refused = {name.decode() for name in await link.call(own_script("probe", _PROBE), [key], [lines])}
    for name, command in _HARMLESS:
        try:
            await link.execute(*(key if word == "KEY" else word for word in command))
        except BrokerUnavailableError:
            raise
        except BrokerError as error:
            if error.code == "NOPERM":
                refused.add(name)
    return sorted(refused)


def _number(info: dict[str, str], field: str, default: int = 0) -> int:
    try:
        return int(info.get(field, default))
    except ValueError:
        return default
