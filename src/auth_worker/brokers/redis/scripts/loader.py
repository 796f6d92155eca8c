"""Loads BullMQ's scripts from the official package at run time, and prepares calls of them.

The official argument builders make each call (``bullmq.scripts.Scripts``); nothing of theirs is copied. A builder
costs 10 µs and more, so a call that is made for every job is built once, with markers in place of what changes,
and kept as a ``Frame``: the command in wire format with gaps. Filling one costs 2 µs.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from functools import cache
from types import SimpleNamespace
from typing import Any, NamedTuple

import msgpack
from bullmq.redis_connection import SCRIPT_DEFINITIONS, loadScript
from bullmq.scripts import Scripts

from auth_worker.brokers.redis.text_codec import stored_bytes
from auth_worker.brokers.redis.wire.resp import pack

HAND_BACK = "moveJobFromActiveToWait"
"""Is in the official package, but has no caller there: it moves an active job back to the front of wait."""
ADD_LOG, CHANGE_DELAY = "addLog", "changeDelay"
FILES = {
    **SCRIPT_DEFINITIONS,
    HAND_BACK: "moveJobFromActiveToWait-9.lua",
    ADD_LOG: "addLog-2.lua",
    CHANGE_DELAY: "changeDelay-4.lua",
}

GUARDS = {
    "lock": """
local auth_worker_token = table.remove(ARGV)
local auth_worker_lock = table.remove(KEYS)
if redis.call("GET", auth_worker_lock) ~= auth_worker_token then return -6 end
""",
    "rate limit": """
if redis.call("GET", KEYS[6]) == "9007199254740991" then
  local auth_worker_rest = redis.call("PTTL", KEYS[6])
  if auth_worker_rest > 0 then return {0, 0, auth_worker_rest, 0} end
end
""",
    "rate limit after finish": """
if ARGV[6] == "1" and redis.call("GET", KEYS[6]) == "9007199254740991" then ARGV[6] = "" end
""",
    "rate limit after delay": """
if ARGV[8] == "1" and redis.call("GET", KEYS[10]) == "9007199254740991" then ARGV[8] = "" end
""",
    "dead letter": """
if redis.call("EXISTS", table.remove(KEYS)) == 0 then return -20 end
""",
    "not begun": """
if redis.call("GET", ARGV[3] .. ":lock") == ARGV[2] and redis.call("HEXISTS", ARGV[3], "ats") == 1 then
  redis.call("HINCRBY", ARGV[3], "ats", -1)
end
""",
    "not charged": """
local auth_worker_waiting = table.remove(KEYS)
if redis.call("EXISTS", KEYS[4]) == 0 then
  for _, auth_worker_id in ipairs(redis.call("SMEMBERS", auth_worker_waiting)) do
    local auth_worker_job = ARGV[2] .. auth_worker_id
    if redis.call("SISMEMBER", KEYS[1], auth_worker_id) == 1
    and redis.call("EXISTS", auth_worker_job .. ":lock") == 0 then
      if redis.call("EXISTS", auth_worker_job) == 1 then redis.call("HINCRBY", auth_worker_job, "stc", -1) end
      redis.call("SREM", auth_worker_waiting, auth_worker_id)
    end
  end
end
""",
    "parent": """
local auth_worker_parent = table.remove(ARGV)
local auth_worker_job = table.remove(KEYS)
local auth_worker_former = redis.call("HGET", auth_worker_job, "parentKey")
if auth_worker_former and redis.call("EXISTS", auth_worker_former) == 0
and redis.call("EXISTS", auth_worker_parent) == 1 then
  redis.call("HDEL", auth_worker_job, "parentKey", "parent")
end
""",
    "same failure": """
local auth_worker_letter = table.remove(ARGV)
local auth_worker_finished = table.remove(ARGV)
local auth_worker_job = table.remove(KEYS)
local auth_worker_state = redis.call("HMGET", auth_worker_job, "finishedOn", "dlq")
if auth_worker_state[1] ~= auth_worker_finished or auth_worker_state[2] == auth_worker_letter then return -6 end
redis.call("HSET", auth_worker_job, "dlq", auth_worker_letter)
""",
}
"""Code put before a script, which checks what BullMQ's own do not. A guard that fails answers -6 or -20.

- ``rate limit`` and its variants: fetch no job while a consumer's rate limit pauses the queue. The scripts
  themselves check that only if a limiter is configured.
- ``lock``: the lock (last KEYS) holds the token (last ARGV).
- ``dead letter``: the dead letter (last KEYS) exists. With this one and ``lock`` a dead letter is added and its
  job moved to failed in one MULTI/EXEC, both or neither; also if Redis has forgotten one of the scripts, since
  nobody else loads the guarded ones.
- ``not begun``: the job (ARGV[3]) that goes back to wait has started no attempt, if its lock holds the token
  (ARGV[2]).
- ``not charged``: when a check for stalled jobs is due (KEYS[4] is gone), those jobs of the set (last KEYS) that
  it is going to recover, since it has marked them (KEYS[1]) and their lock has expired, are charged no stall.
- ``parent``: the job (last KEYS) that is added again drops a parent that no longer exists, for the new one (last
  ARGV), as in Node's handleDuplicatedJob.
- ``same failure``: the job (last KEYS) failed at the time (last ARGV but one) and does not name the dead letter
  (last ARGV) yet. Afterwards it does.
"""


_REPORTING = """
local auth_worker_new = table.remove(KEYS)
local auth_worker_existed = redis.call("EXISTS", auth_worker_new) == 1
local function auth_worker_add()
%s
end
local auth_worker_id = auth_worker_add()
if type(auth_worker_id) == "string"
and (auth_worker_existed or string.sub(auth_worker_new, -#auth_worker_id - 1) ~= ":" .. auth_worker_id) then
  return {auth_worker_id}
end
return auth_worker_id
"""


class Script(NamedTuple):
    """A Lua script, and the SHA-1 by which Redis knows it. Its text begins with its ``guard``."""

    name: str
    text: str
    sha: str
    guard: str = ""


@cache
def script(name: str, *guards: str) -> Script:
    """Load one of BullMQ's scripts by name. ``guards`` name the ``GUARDS`` to put before it."""
    return own_script(name, loadScript(FILES[name]), *guards)


@cache
def read_all_scripts() -> None:
    """Read the files of all scripts now, since leases must be renewed even when no descriptor is left."""
    for name in FILES:
        script(name)


@cache
def reporting_script(name: str, *guards: str) -> Script:
    """Load a script that adds a job, changed to report a job that exists already: with an array of its id.

    The last KEYS is the key of the job to add.
    """
    return own_script(f"{name} reporting", _REPORTING % loadScript(FILES[name]), *guards)


def own_script(name: str, text: str, *guards: str) -> Script:
    """Create a script with ``guards`` put before its ``text``."""
    return _script_of(name, "".join(GUARDS[guard] for guard in guards), text)


@cache
def prefixed_script(name: str, prelude: str) -> Script:
    """Load one of BullMQ's scripts by name, with the Lua code ``prelude``, which may end it, put before it."""
    return _script_of(name, prelude, loadScript(FILES[name]))


def _script_of(name: str, guard: str, text: str) -> Script:
    guarded = guard + text
    return Script(name, guarded, hashlib.sha1(guarded.encode()).hexdigest(), guard)  # noqa: S324 - as Redis does


ScriptCall = tuple[Script, list[Any], list[Any]]
"""A script with its keys and arguments."""
RunScript = Callable[[Script, list[Any], list[Any]], Awaitable[Any]]
"""Runs a script with keys and arguments, and returns its reply."""


class _Builders(Scripts):  # type: ignore[misc]
    """The official builders, but for one that refuses ids that are not UTF-8."""

    def extendJobLocks(self, job_ids: list[str], tokens: list[str], duration: int) -> Any:  # noqa: N802 - theirs
        """Build the call that renews the locks of several jobs. Source: extendLocks-1.lua."""
        packed = [
            msgpack.packb([*map(stored_bytes, texts)], use_bin_type=False)  # Redis's cmsgpack knows no bin type
            for texts in (tokens, job_ids)
        ]
        return self.commands["extendLocks"](keys=[self.keys["stalled"]], args=[self.keys[""], *packed, duration])


def builders(prefix: str, queue: str, run: RunScript) -> Scripts:
    """Create the official builders for one queue. Each call they make goes to ``run`` (script, keys, args)."""

    def command(name: str) -> Callable[..., Awaitable[Any]]:
        def call(keys: list[Any], args: list[Any], client: Any = None) -> Awaitable[Any]:
            return run(script(name), keys, ["" if arg is None else arg for arg in args])

        return call

    connection = SimpleNamespace(conn=None, commands={name: command(name) for name in SCRIPT_DEFINITIONS})
    return _Builders(prefix, queue, connection)


def take_call(called: Script, keys: list[Any], args: list[Any]) -> Any:
    """Return the call instead of making it: a ``run`` for ``builders``."""
    return called, keys, args


class CallCapture:
    """The official ``builders``, for which ``call`` captures what a coroutine of theirs would send."""

    def __init__(self, prefix: str, queue: str) -> None:
        self.builders: Any = builders(prefix, queue, self._take)
        self._taken: ScriptCall | None = None

    def call(self, pending: Coroutine[Any, Any, Any]) -> ScriptCall:
        """Run an async builder up to the moment it would talk to Redis, and return what it would have sent."""
        pending.send(None)
        pending.close()
        if self._taken is None:
            raise AssertionError("the builder called no script")
        taken, self._taken = self._taken, None
        return taken

    async def _take(self, called: Script, keys: list[Any], args: list[Any]) -> None:
        self._taken = (called, keys, args)
        await asyncio.sleep(0)


class Frame:
    """A script call in wire format with gaps, which ``fill`` completes."""

    __slots__ = ("_format",)

    def __init__(self, script: Script, keys: list[Any], args: list[Any], gaps: list[str]) -> None:
        """Create the frame. ``gaps`` are the markers for what changes, in the order of ``fill``'s values."""
        command = ["EVALSHA", script.sha, len(keys), *keys, *args]
        found = [arg for arg in command if isinstance(arg, str) and arg in gaps]
        if found != gaps:
            raise AssertionError(f"{script.name}: the builder placed {found}, not {gaps}")
        wire = pack(*command).replace(b"%", b"%%")
        for mark in gaps:
            wire = wire.replace(b"$%d\r\n%b\r\n" % (len(mark), mark.encode()), b"$%d\r\n%b\r\n", 1)
        self._format = wire

    def fill(self, *values: bytes) -> bytes:
        """Return the call with ``values`` in its gaps."""
        return self._format % measured(values)


def measured(values: Iterable[bytes]) -> tuple[Any, ...]:
    """Return each value preceded by its length, for a wire-format template."""
    filled: list[Any] = []
    for value in values:
        filled.append(len(value))
        filled.append(value)
    return tuple(filled)


def whole_call(call: ScriptCall) -> bytes:
    """Pack a call with its script's text: more expensive, but Redis cannot have forgotten it."""
    called, keys, args = call
    return pack("EVAL", called.text, len(keys), *keys, *args)


def short_call(call: ScriptCall) -> bytes:
    """Pack a call with its script's SHA-1. Redis answers NOSCRIPT if it has forgotten the script."""
    called, keys, args = call
    return pack("EVALSHA", called.sha, len(keys), *keys, *args)


def packed_options(packed: bytes, **changes: Any) -> bytes:
    """Change some msgpack options of a call, and leave out what is None."""
    options = {**msgpack.unpackb(packed), **changes}
    return bytes(msgpack.packb({key: value for key, value in options.items() if value is not None}))
