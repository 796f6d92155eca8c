"""BullMQ's scripts, loaded from the official package at run time, and calls of them prepared once.

The official argument builders make each call (``bullmq.scripts.Scripts``); nothing of theirs is copied. A
builder costs 10 us and more, so a call that is made for every job is built once, with marks in the places of
what changes, and kept as a ``Frame``: the command in wire format with gaps. Filling one costs 2 us.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterable
from functools import cache
from types import SimpleNamespace
from typing import Any, NamedTuple

import msgpack
from bullmq.redis_connection import SCRIPT_DEFINITIONS, loadScript
from bullmq.scripts import Scripts

from auth_worker.broker.wire import pack

HAND_BACK = "moveJobFromActiveToWait"
"""Ships in the official package, but has no caller there: it puts an active job back to the front of wait."""
ADD_LOG = "addLog"
FILES = {**SCRIPT_DEFINITIONS, HAND_BACK: "moveJobFromActiveToWait-9.lua", ADD_LOG: "addLog-2.lua"}

GUARDS = {
    "lock": """
local auth_worker_token = table.remove(ARGV)
local auth_worker_lock = table.remove(KEYS)
if redis.call("GET", auth_worker_lock) ~= auth_worker_token then return -6 end
""",
    "rest": """
if redis.call("GET", KEYS[6]) == "9007199254740991" then
  local auth_worker_rest = redis.call("PTTL", KEYS[6])
  if auth_worker_rest > 0 then return {0, 0, auth_worker_rest, 0} end
end
""",
    "rest after finish": """
if ARGV[6] == "1" and redis.call("GET", KEYS[6]) == "9007199254740991" then ARGV[6] = "" end
""",
    "rest after delay": """
if ARGV[8] == "1" and redis.call("GET", KEYS[10]) == "9007199254740991" then ARGV[8] = "" end
""",
    "letter": """
if redis.call("EXISTS", table.remove(KEYS)) == 0 then return -20 end
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
    "death": """
local auth_worker_letter = table.remove(ARGV)
local auth_worker_finished = table.remove(ARGV)
local auth_worker_job = table.remove(KEYS)
local auth_worker_state = redis.call("HMGET", auth_worker_job, "finishedOn", "dlq")
if auth_worker_state[1] ~= auth_worker_finished or auth_worker_state[2] == auth_worker_letter then return -6 end
redis.call("HSET", auth_worker_job, "dlq", auth_worker_letter)
""",
}
"""Put before a script: what BullMQ's own do not look at. A guard that does not hold answers -6 or -20.

``rest`` and its like: fetch no job while the queue rests because a consumer said so; the scripts themselves look
at that only where a limiter is configured. ``lock``: the lock (last KEYS) holds the token (last ARGV).
``letter``: the letter (last KEYS) is there. With these two a dead letter is added and its job moved to failed in
one MULTI/EXEC, both or neither; also where Redis has forgotten one of the scripts, since nobody else knows the
guarded ones. ``parent``: the job (last KEYS) that is added again forgets a parent that is gone, for the new one
(last ARGV), as in Node's handleDuplicatedJob. ``death``: the job (last KEYS) died at the time (last ARGV but one)
and is not marked with the letter (last ARGV) yet; it is then.
"""


class Script(NamedTuple):
    """A Lua script, and the SHA-1 by which Redis knows it. Its text begins with its ``guard``."""

    name: str
    text: str
    sha: str
    guard: str = ""


@cache
def script(name: str, *guards: str) -> Script:
    """Load one of BullMQ's scripts by its name; ``guards`` name what to put before it, of ``GUARDS``."""
    return own_script(name, loadScript(FILES[name]), *guards)


def own_script(name: str, text: str, *guards: str) -> Script:
    """A script with ``guards`` put before its ``text``."""
    guard = "".join(GUARDS[guard] for guard in guards)
    guarded = guard + text
    return Script(name, guarded, hashlib.sha1(guarded.encode()).hexdigest(), guard)  # noqa: S324 - as Redis does


Run = Callable[[Script, list[Any], list[Any]], Awaitable[Any]]


def builders(prefix: str, queue: str, run: Run) -> Scripts:
    """The official builders for one queue; each call they make goes to ``run`` (script, keys, arguments)."""

    def command(name: str) -> Callable[..., Awaitable[Any]]:
        def call(keys: list[Any], args: list[Any], client: Any = None) -> Awaitable[Any]:
            return run(script(name), keys, ["" if arg is None else arg for arg in args])

        return call

    connection = SimpleNamespace(conn=None, commands={name: command(name) for name in SCRIPT_DEFINITIONS})
    return Scripts(prefix, queue, connection)


def take_call(called: Script, keys: list[Any], args: list[Any]) -> Any:
    """A ``run`` for ``builders`` that calls nothing: the call itself is what the builder gives."""
    return called, keys, args


class Frame:
    """A script call in wire format with gaps; ``fill`` gives the bytes to send."""

    __slots__ = ("_format",)

    def __init__(self, script: Script, keys: list[Any], args: list[Any], gaps: list[str]) -> None:
        """``gaps``: the marks that stand for what changes, in the order ``fill`` gets their values."""
        command = ["EVALSHA", script.sha, len(keys), *keys, *args]
        found = [arg for arg in command if isinstance(arg, str) and arg in gaps]
        if found != gaps:
            raise AssertionError(f"{script.name}: the builder placed {found}, not {gaps}")
        wire = pack(*command).replace(b"%", b"%%")
        for mark in gaps:
            wire = wire.replace(b"$%d\r\n%b\r\n" % (len(mark), mark.encode()), b"$%d\r\n%b\r\n", 1)
        self._format = wire

    def fill(self, *values: bytes) -> bytes:
        """The call with ``values`` in its gaps."""
        return self._format % measured(values)


def measured(values: Iterable[bytes]) -> tuple[Any, ...]:
    """Each value with its length before it, as a format in wire format takes them."""
    filled: list[Any] = []
    for value in values:
        filled.append(len(value))
        filled.append(value)
    return tuple(filled)


def whole_call(call: tuple[Script, list[Any], list[Any]]) -> bytes:
    """A call that carries its script's text: dearer, but Redis cannot have forgotten it."""
    called, keys, args = call
    return pack("EVAL", called.text, len(keys), *keys, *args)


def short_call(call: tuple[Script, list[Any], list[Any]]) -> bytes:
    """A call that names its script by its SHA-1; Redis answers NOSCRIPT when it has forgotten it."""
    called, keys, args = call
    return pack("EVALSHA", called.sha, len(keys), *keys, *args)


def packed_options(packed: bytes, **changes: Any) -> bytes:
    """The msgpack options of a call with some of them changed, and what is None left out."""
    options = {**msgpack.unpackb(packed), **changes}
    return bytes(msgpack.packb({key: value for key, value in options.items() if value is not None}))
