"""Which commands a Redis user needs for all this, and which of them the present one may not give."""

from __future__ import annotations

import hashlib

from auth_worker.broker.link import Link
from auth_worker.broker.queue_finder import glob_escaped
from auth_worker.broker.scripts import Script
from auth_worker.errors import BrokerError, BrokerUnavailableError

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
    **{"xadd": "* f v", "xtrim": "MAXLEN 1", "del": ""},
}
"""The commands that scripts or we ourselves give, with arguments that do no harm to a key of the probe's own."""
_OTHERS = (
    *("client|id", "client|list", "client|setname", "client|unblock"),
    *("bzpopmin", "eval", "evalsha", "exec", "info", "multi", "ping", "scan", "script|load", "select"),
    *("time", "unwatch", "watch"),
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


def needed_commands() -> list[str]:
    """Every command a worker, a producer and an operator give, as an ACL names it."""
    return sorted({*_ON_KEY, *_OTHERS})


def acl_rule(prefix: str, user: str = "auth-worker", *, cluster: bool = False) -> str:
    """The least that a user must be allowed, as a command for redis-cli; the password is left to fill in."""
    needed = sorted([*needed_commands(), *(["cluster|slots"] if cluster else [])])
    commands = " ".join(f"+{name}" for name in needed)
    keys = glob_escaped(prefix).replace(" ", "?")  # a pattern may not have blanks
    return f"ACL SETUSER {user} on >PASSWORD resetkeys ~{keys}:* resetchannels -@all {commands}"


def sentinel_acl_rule(user: str = "auth-worker") -> str:
    """The same for a user of the sentinels, which have users of their own."""
    return f"ACL SETUSER {user} on >PASSWORD resetkeys resetchannels -@all +sentinel|get-master-addr-by-name"


async def refused_commands(link: Link, prefix: str) -> list[str]:
    """The needed commands that the present user may not give. Raises ``BrokerError``.

    Each is tried on a key of its own, within one script, which removes the key again.
    """
    key = f"{prefix}:auth-worker-doctor"
    lines = "\n".join(f"{name} KEY {arguments}".strip() for name, arguments in _ON_KEY.items())
    probe = Script("probe", _PROBE, hashlib.sha1(_PROBE.encode()).hexdigest())  # noqa: S324 - as Redis names it
    refused = {name.decode() for name in await link.call(probe, [key], [lines])}
    for name, command in _HARMLESS:
        try:
            await link.execute(*(key if word == "KEY" else word for word in command))
        except BrokerUnavailableError:
            raise
        except BrokerError as error:
            if error.code == "NOPERM":
                refused.add(name)
    return sorted(refused)
