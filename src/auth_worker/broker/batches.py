"""Calls of one script that go out together, as one command: the script runs once for each of them.

Of the 36 us that Redis spends on a completed job and the fetch of the next, a quarter goes into taking in the
command (25 arguments, nearly all of them the same for every job of the queue) and into defining the 37 functions
of the script, which Lua does anew in every call. In a batch both are done once; 16 jobs at a time cost 28 us each.

A batch is no transaction: a call that fails answers with its error, and the next one runs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from auth_worker.broker.scripts import Frame, Script, own_script
from auth_worker.broker.wire import pack

MOST_BATCHED = 4096
"""A call with a longer value goes out alone: Redis holds all of a batch, and all the answers, at a time."""
_DEFINITION = re.compile(
    r"^local (?:rcall = redis\.call|(?:function |\w+ = function ?\().*?^end)$", re.MULTILINE | re.DOTALL
)
"""What a script of BullMQ defines at its top. The functions come from files that many scripts include, so they use
each other and ``rcall``, but no other variable of the script; a test looks into each of them."""
_BATCH = """{guard}
local auth_worker_keys, auth_worker_args = KEYS, ARGV
local KEYS, ARGV = {{}}, {{}}
{definitions}
local function auth_worker_call()
{body}
end
local auth_worker_answers = {{}}
for at = {args} + 1, #auth_worker_args, {gaps} do
  for place = 1, {keys} do KEYS[place] = auth_worker_keys[place] end
  for place = 1, {args} do ARGV[place] = auth_worker_args[place] end
  {places} = unpack(auth_worker_args, at, at + {gaps} - 1)
  local fine, answer = pcall(auth_worker_call)
  if not fine then
    local text = string.gsub(type(answer) == "table" and answer.err or tostring(answer), "[\\r\\n]", " ")
    answer = {{err = string.match(text, "^%u%u+ .*") or string.match(text, ": %-?(%u%u+ .*)") or "ERR " .. text}}
  end
  table.insert(auth_worker_answers, answer or false)
end
return auth_worker_answers
"""


def definitions_of(text: str) -> list[str]:
    """What a script defines, the same in every call: ``rcall`` and its functions, each from "local" to "end"."""
    definitions = _DEFINITION.findall(text)
    for definition in definitions:
        if len(re.findall(r"^(?:local|end)\b", definition, re.MULTILINE)) > 2:
            raise AssertionError(f"a script of BullMQ is not laid out as expected: {definition:.80}")
    return definitions


@cache
def batch_script(one: Script, keys: int, args: int, places: tuple[str, ...]) -> Script:
    """``one`` for several calls, which share ``keys`` KEYS and ``args`` ARGV but for those at ``places``.

    ARGV holds what they share, and then the values for ``places`` of each call in turn. The answer is a list.
    The guard of ``one`` looks at what they share, and does so once.
    """
    unguarded = one.text.removeprefix(one.guard)
    text = _BATCH.format(
        guard=one.guard,
        definitions="\n".join(definitions_of(unguarded)),
        body=_DEFINITION.sub("", unguarded),
        keys=keys,
        args=args,
        gaps=len(places),
        places=", ".join(places),
    )
    return own_script(f"{one.name} in batches", text)


class BatchFrame(Frame):
    """A frame whose calls can be put together."""

    __slots__ = ("_gaps", "_shared", "_shared_words", "_values", "batch_script")

    def __init__(self, script: Script, keys: list[Any], args: list[Any], gaps: list[str]) -> None:
        """As ``Frame``."""
        super().__init__(script, keys, args, gaps)
        places = [f"KEYS[{place}]" for place, key in enumerate(keys, 1) if key in gaps]
        places += [f"ARGV[{place}]" for place, arg in enumerate(args, 1) if arg in gaps]
        self.batch_script = batch_script(script, len(keys), len(args), tuple(places))
        # In a gap of the shared part stands a key of the same slot, which may be used by whom the others may be.
        stand_in = next(key for key in keys if key not in gaps)
        shared_keys = [stand_in if key in gaps else key for key in keys]
        shared_args = ["" if arg in gaps else arg for arg in args]
        shared = pack("EVALSHA", self.batch_script.sha, len(keys), *shared_keys, *shared_args)
        head, self._shared = shared.split(b"\r\n", 1)
        self._shared_words, self._gaps = int(head[1:]), len(gaps)
        self._values = b"$%d\r\n%b\r\n" * len(gaps)

    def join(self, calls: Sequence[Sequence[bytes]]) -> bytes:
        """One command for ``calls``, each with its values as ``fill`` takes them."""
        if len(calls) == 1:
            return self.fill(*calls[0])
        parts = [b"*%d\r\n%b" % (self._shared_words + self._gaps * len(calls), self._shared)]
        for values in calls:
            measured: list[Any] = []
            for value in values:
                measured += (len(value), value)
            parts.append(self._values % tuple(measured))
        return b"".join(parts)
