"""Batches calls of one script into one command: the script runs once for each of them.

A third of the time that Redis spends on completing a job and fetching the next goes into what is the same for all
jobs of a queue, or for all queues: parsing the command, nearly all of whose 25 arguments belong to the queue;
defining the 41 functions of the script, which Lua repeats in every call; reading the queue's settings, trimming
its events, setting its marker. In a batch that is done once.

A batch is not a transaction: a call that fails answers with its error, and the next one runs. Only what Redis
refuses before the script starts, such as keys that an ACL has withdrawn, it refuses for all calls of the batch.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple, Self

from auth_worker.brokers.redis.scripts.loader import Frame, Script, measured, own_script
from auth_worker.brokers.redis.wire.resp import pack

MOST_BATCHED = 4096
"""A call with longer data is sent alone: Redis holds a whole batch and all its replies in memory."""


class Asked(NamedTuple):
    """A command within a BullMQ function. ``until_found``: it is repeated once its reply was not empty."""

    command: str
    until_found: bool = False


ASKED_ONCE = {
    "getQueueMetadata": Asked("HMGET"),
    "isQueuePausedOrMaxed": Asked("HMGET"),
    "getOrSetMaxEvents": Asked("HGET"),
    "trimEvents": Asked("XTRIM"),
    "addBaseMarkerIfNeeded": Asked("ZADD"),
    "promoteDelayedJobs": Asked("ZRANGEBYSCORE", until_found=True),
}
"""Functions about the queue, not the job, and the command that a batch runs once per key and time for them.

The rest of the batch neither changes its reply nor undoes it. With two exceptions, which the next batch corrects:
events that the batch itself adds are not trimmed yet, and a job that it delays until now is not promoted yet; its
time is in the reply, so that the worker fetches again at once.
"""
_DEFINITION = re.compile(
    r"^local (?:rcall = redis\.call|(?:function |\w+ = function ?\().*?^end)$", re.MULTILINE | re.DOTALL
)
"""What a BullMQ script defines at its top.

The functions come from files that many scripts include, so they use each other and ``rcall``, but no other
variable of the script; a test checks each of them.
"""
_BATCH = """
local auth_worker_keys, auth_worker_args, KEYS, ARGV = KEYS, ARGV, nil, nil
local function auth_worker_ask_once(command, until_found)
  local known, asked = {{}}, {{}}
  return function(name, key, ...)
    if name ~= command then return redis.call(name, key, ...) end
    local _, what = ...
    local answer = asked[key] == what and known[key]
    if not answer then
      answer = redis.call(name, key, ...)
      asked[key], known[key] = what, not (until_found and #answer > 0) and answer
    end
    return answer
  end
end
{definitions}
local function auth_worker_call(frame)
  if not frame.guarded then
    {guard}
    frame.guarded = true
  end
{body}
end
local auth_worker_frames, auth_worker_answers = {{}}, {{}}
local auth_worker_count = #auth_worker_keys / {keys}
for at = 1, auth_worker_count do
  auth_worker_frames[tostring(at)] = {{
    keys = {{unpack(auth_worker_keys, (at - 1) * {keys} + 1, at * {keys})}},
    args = {{unpack(auth_worker_args, (at - 1) * {args} + 1, at * {args})}},
  }}
end
for at = auth_worker_count * {args} + 1, #auth_worker_args, {gaps} + 1 do
  local frame = auth_worker_frames[auth_worker_args[at]]
  KEYS, ARGV = frame.keys, frame.args
  {places} = unpack(auth_worker_args, at + 1, at + {gaps})
  local fine, answer = pcall(auth_worker_call, frame)
  if not fine then
    local text = string.gsub(type(answer) == "table" and answer.err or tostring(answer), "[\\r\\n]", " ")
    answer = {{err = string.match(text, "^%u%u+ .*") or string.match(text, ": %-?(%u%u+ .*)") or "ERR " .. text}}
  end
  table.insert(auth_worker_answers, answer or false)
end
return auth_worker_answers
"""


def definitions_of(text: str) -> list[str]:
    """Return what a script defines in every call: ``rcall`` and its functions, each from "local" to "end"."""
    definitions = _DEFINITION.findall(text)
    for definition in definitions:
        if len(re.findall(r"^(?:local|end)\b", definition, re.MULTILINE)) > 2:
            raise AssertionError(f"a script of BullMQ is not laid out as expected: {definition:.80}")
    return definitions


def _asking_once(definition: str) -> str:
    """Return the definition, with its own ``rcall`` if its function's command is to run once."""
    found = re.match(r"local function (\w+)", definition)
    asked = ASKED_ONCE.get(found[1]) if found else None
    if asked is None:
        return definition
    arguments = f'"{asked.command}", {str(asked.until_found).lower()}'
    return f"local rcall = auth_worker_ask_once({arguments})\n{definition}\nlocal rcall = redis.call"


class Batch:
    """Batches calls of one script with the same layout, whatever their queues.

    ARGV of a batch holds, for each frame, what its calls share, and then for each call the number of its frame and
    its own values for ``places``; KEYS holds the keys of each frame. The reply is a list. A guard checks what the
    calls of a frame share, once.
    """

    def __init__(self, one: Script, keys: int, args: int, places: tuple[str, ...]) -> None:
        self._words, self._gaps = keys + args, len(places)
        self._keys = keys
        unguarded = one.text.removeprefix(one.guard)
        text = _BATCH.format(
            guard=one.guard,
            definitions="\n".join(map(_asking_once, definitions_of(unguarded))),
            body=_DEFINITION.sub("", unguarded),
            keys=keys,
            args=args,
            gaps=len(places),
            places=", ".join(places),
        )
        self.script = own_script(f"{one.name} in batches", text)
        self._head = b"*%d\r\n" + pack("EVALSHA", self.script.sha).partition(b"\r\n")[2]
        self._values = b"$%d\r\n%b\r\n" * (len(places) + 1)

    @classmethod
    @cache
    def of(cls, one: Script, keys: int, args: int, places: tuple[str, ...]) -> Self:
        """Return the batch for calls of ``one`` that differ in ``places``, always the same object."""
        return cls(one, keys, args, places)

    def values_of(self, calls: Sequence[tuple[BatchFrame, Any]]) -> Sequence[tuple[BatchFrame, Sequence[bytes]]]:
        """Return the frame of each call and the values that its ``fill`` takes."""
        return calls

    def alone(self, call: tuple[BatchFrame, Any]) -> bytes:
        """Return the script's own call."""
        [(frame, values)] = self.values_of([call])
        return frame.fill(*values)

    def join(self, calls: Sequence[tuple[BatchFrame, Any]]) -> bytes:
        """Return one command for ``calls``, each a frame and a content."""
        numbers: dict[BatchFrame, bytes] = {}
        parts: list[bytes] = []
        for frame, values in self.values_of(calls):
            number = numbers.setdefault(frame, b"%d" % (len(numbers) + 1))
            parts.append(self._values % measured((number, *values)))
        words = 3 + self._words * len(numbers) + (self._gaps + 1) * len(calls)
        keys = b"%d" % (self._keys * len(numbers))
        head = [self._head % words, b"$%d\r\n%b\r\n" % (len(keys), keys)]
        head += [frame.shared_keys for frame in numbers]
        head += [frame.shared_args for frame in numbers]
        return b"".join(head + parts)


class BatchFrame(Frame):
    """A frame whose calls can be batched, also with those of other queues."""

    __slots__ = ("batch", "shared_args", "shared_keys")

    def __init__(
        self, script: Script, keys: list[Any], args: list[Any], gaps: list[str], kind: type[Batch] = Batch
    ) -> None:
        """Create the frame as ``Frame``. ``kind`` reads the content of its calls."""
        super().__init__(script, keys, args, gaps)
        places = [f"KEYS[{place}]" for place, key in enumerate(keys, 1) if key in gaps]
        places += [f"ARGV[{place}]" for place, arg in enumerate(args, 1) if arg in gaps]
        self.batch = kind.of(script, len(keys), len(args), tuple(places))
        # A gap of the shared part holds a key of the same queue, so that neither slot nor ACL refuses it.
        stand_in = next(key for key in keys if key not in gaps)
        self.shared_keys = _words([stand_in if key in gaps else key for key in keys])
        self.shared_args = _words(["" if arg in gaps else arg for arg in args])


def _words(values: list[Any]) -> bytes:
    """Pack a part of a command in wire format."""
    return pack(*values).partition(b"\r\n")[2]
