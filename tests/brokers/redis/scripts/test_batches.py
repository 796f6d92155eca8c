"""Batches: calls that go out together are one command, and do what each of them would have done alone."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_worker.brokers.redis.scripts.batches import ASKED_ONCE, BatchFrame, definitions_of
from auth_worker.brokers.redis.scripts.frames import FINISH
from auth_worker.brokers.redis.scripts.loader import Script, script
from support.resp_reader import command_in

KEY, VALUE = "\0key\0", "\0value\0"
SOME = Script("some", "return 1", "f" * 40)
BATCHED = [FINISH, script("addStandardJob"), script("addDelayedJob"), script("addPrioritizedJob")]


@given(calls=st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=20)), min_size=2, max_size=9))
def test_a_batch_names_what_its_calls_share_once_and_then_the_values_of_each(
    calls: list[tuple[bytes, bytes]],
) -> None:
    frame = BatchFrame(SOME, ["meta", KEY], ["100%s %d", VALUE], [KEY, VALUE])
    name, sha, *words = command_in(frame.batch.join([(frame, call) for call in calls]))
    assert (name, sha) == (b"EVALSHA", frame.batch.script.sha.encode())
    assert words[:3] == [b"2", b"meta", b"meta"], "a key of another slot, or of another's, would be refused"
    assert words[3:] == [b"100%s %d", b"", *(value for call in calls for value in (b"1", *call))]


def test_a_batch_names_each_queue_once_and_with_every_call_the_number_of_its_queue() -> None:
    mail, sms = (BatchFrame(SOME, [queue, KEY], [queue * 2, VALUE], [KEY, VALUE]) for queue in ("mail", "sms"))
    calls = [(mail, (b"a", b"1")), (sms, (b"b", b"2")), (mail, (b"c", b"3"))]
    words = command_in(mail.batch.join(calls))[2:]
    assert words[:5] == [b"4", b"mail", b"mail", b"sms", b"sms"]
    assert words[5:9] == [b"mailmail", b"", b"smssms", b""]
    assert words[9:] == [b"1", b"a", b"1", b"2", b"b", b"2", b"1", b"c", b"3"]


def test_a_call_that_goes_out_alone_is_the_scripts_own_call() -> None:
    frame = BatchFrame(SOME, ["meta", KEY], [VALUE], [KEY, VALUE])
    assert frame.batch.alone((frame, (b"a", b"b"))) == frame.fill(b"a", b"b")


@pytest.mark.parametrize("one", BATCHED, ids=lambda one: one.name)
def test_what_a_batch_defines_once_uses_nothing_that_changes_from_call_to_call(one: Script) -> None:
    """Functions use their own variables and each other, but none that the script sets before it runs."""
    functions = [definition for definition in definitions_of(one.text) if "function" in definition]
    of_the_call = names(r"^local ([\w, ]+)", _body(one), re.MULTILINE) | {"KEYS", "ARGV"}
    assert len(functions) > 10
    assert of_the_call > {"KEYS", "ARGV"}
    for function in functions:
        code = re.sub(r"--\[\[.*?\]\]|--[^\n]*|\"[^\"]*\"|'[^']*'", "", function, flags=re.DOTALL)
        own = names(r"function [\w.]*\(([^)]*)\)|local (?!function)([\w, ]+)|for ([\w, ]+)", code)
        used = names(r"(?<![.:\w])([A-Za-z_]\w*)", code)
        assert not used & of_the_call - own, function.partition("\n")[0]


def names(pattern: str, text: str, flags: int = 0) -> set[str]:
    """The names in what ``pattern`` captures."""
    found = (" ".join(match.groups(default="")) for match in re.finditer(pattern, text, flags))
    return set(re.findall(r"\w+", " ".join(found)))


def test_a_script_that_is_laid_out_otherwise_is_refused_when_it_is_loaded() -> None:
    text = "local function f() return 1 end\nlocal function g()\n  return 2\nend\nreturn f()\n"
    with pytest.raises(AssertionError, match="not laid out as expected"):
        definitions_of(text)


@pytest.mark.parametrize("one", BATCHED, ids=lambda one: one.name)
def test_nothing_in_a_batch_changes_what_it_asks_for_once(one: Script) -> None:
    """A queue's settings are only read, but for the default length of its events; its marker is only set."""
    functions = [text for text in definitions_of(one.text) if "function collectMetrics" not in text]
    code = re.sub(r"--\[\[.*?\]\]|--[^\n]*", "", "\n".join([*functions, _body(one)]), flags=re.DOTALL)
    commands = re.findall(r'rcall\(\s*["\'](\w+)["\'],\s*(\w+)[^,)]*,?\s*([^,)]*)', code)
    of_meta = {(command, field) for command, key, field in commands if "meta" in key.lower()}
    of_marker = {(command, score) for command, key, score in commands if "marker" in key.lower()}
    assert ("HGET", '"opts.maxLenEvents"') in of_meta
    assert of_meta <= {
        ("HMGET", '"paused"'),
        ("HGET", '"opts.maxLenEvents"'),
        ("HSET", '"opts.maxLenEvents"'),
    }
    assert of_marker
    assert of_marker <= {("ZADD", "0"), ("ZADD", "nextTimestamp")}
    assert not re.search(r"(?:KEYS|ARGV)\[\d+\]\s*=[^=]|table\.\w+\((?:KEYS|ARGV)", code), "calls share these"


@pytest.mark.parametrize("name", ASKED_ONCE)
def test_what_is_asked_once_is_a_command_that_its_function_gives_once_for_its_key(name: str) -> None:
    found = [text for one in BATCHED for text in definitions_of(one.text) if f"function {name}(" in text]
    assert found
    for text in found:
        uses = re.findall(rf'rcall\("{ASKED_ONCE[name].command}", (\w+), ([^)]*)', text)
        assert len({key for key, _ in uses}) == 1
        assert len(uses) == 1 or name == "trimEvents", "which gives it in one of two ways"


def _body(one: Script) -> str:
    """What of the script runs in each call."""
    body = one.text.removeprefix(one.guard)
    for definition in definitions_of(one.text):
        body = body.replace(definition, "", 1)
    return body
