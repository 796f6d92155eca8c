"""BullMQ's scripts: loaded from the official package, called in wire format."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from auth_worker.brokers.redis.scripts.loader import (
    FILES,
    GUARDS,
    Frame,
    Script,
    builders,
    packed_options,
    script,
    short_call,
    whole_call,
)
from auth_worker.brokers.redis.wire.resp import pack
from support.resp_reader import command_in

SOME = Script("some", "return 1", "f" * 40)
KEY, VALUE = "\0key\0", "\0value\0"


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        yield client


@pytest.mark.parametrize("name", sorted(FILES))
async def test_every_script_is_one_that_redis_can_load(name: str, redis: Redis) -> None:
    loaded = script(name)
    assert loaded.sha == hashlib.sha1(loaded.text.encode()).hexdigest()
    assert await redis.script_load(loaded.text) == loaded.sha


@given(key=st.binary(max_size=50), value=st.binary(max_size=50))
def test_a_filled_frame_is_the_command_with_its_gaps_filled(key: bytes, value: bytes) -> None:
    frame = Frame(SOME, ["meta", KEY], ["100%s %d", VALUE, 7], [KEY, VALUE])
    assert command_in(frame.fill(key, value)) == [
        *(b"EVALSHA", b"f" * 40, b"2", b"meta", key, b"100%s %d", value, b"7")
    ]


@given(values=st.lists(st.binary(max_size=8), min_size=3, max_size=3))
def test_a_mark_may_stand_in_several_places(values: list[bytes]) -> None:
    frame = Frame(SOME, [KEY], [VALUE, KEY], [KEY, VALUE, KEY])
    assert command_in(frame.fill(*values))[3:] == values


def test_a_value_that_looks_like_a_gap_is_a_value() -> None:
    frame = Frame(SOME, [KEY], [VALUE], [KEY, VALUE])
    assert command_in(frame.fill(b"%d %b %%", b"$3\r\nabc\r\n"))[3:] == [b"%d %b %%", b"$3\r\nabc\r\n"]


@pytest.mark.parametrize("gaps", [[VALUE, KEY], [KEY, VALUE, VALUE], [KEY, VALUE, "\0other\0"]])
def test_a_builder_that_places_other_gaps_fails_at_once(gaps: list[str]) -> None:
    with pytest.raises(AssertionError, match="some: the builder placed"):
        Frame(SOME, [KEY], [VALUE], gaps)


def test_a_frame_filled_with_too_little_says_so() -> None:
    with pytest.raises(TypeError):
        Frame(SOME, [KEY], [VALUE], [KEY, VALUE]).fill(b"only one")


@given(
    options=st.dictionaries(st.text(max_size=5), st.none() | st.integers(0, 2**53) | st.text(max_size=5)),
    changes=st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), st.none() | st.integers(0, 9)),
)
def test_packed_options_are_changed_and_what_is_none_is_left_out(
    options: dict[str, Any], changes: dict[str, Any]
) -> None:
    changed = msgpack.unpackb(packed_options(msgpack.packb(options), **changes))
    assert changed == {key: value for key, value in {**options, **changes}.items() if value is not None}


def test_a_call_names_its_script_or_carries_it() -> None:
    call = (SOME, ["a", "b"], ["x", 1])
    assert command_in(short_call(call)) == [b"EVALSHA", b"f" * 40, b"2", b"a", b"b", b"x", b"1"]
    assert command_in(whole_call(call)) == [b"EVAL", b"return 1", b"2", b"a", b"b", b"x", b"1"]


async def test_the_official_builders_go_through_ours_with_none_as_nothing() -> None:
    calls: list[tuple[Script, list[Any], list[Any]]] = []

    async def run(called: Script, keys: list[Any], args: list[Any]) -> int:
        calls.append((called, keys, args))
        return 1

    assert await builders("bull", "work", run).extendLock("7", "token:1", 500) == 1
    [(called, keys, args)] = calls
    assert called is script("extendLock")
    assert keys == ["bull:work:7:lock", "bull:work:stalled"]
    assert [str(arg) for arg in args][:2] == ["token:1", "500"]
    assert None not in args


async def guarded(redis: Redis, guard: str, keys: list[str], args: list[Any]) -> Any:
    """Run ``return "ran"`` behind a guard."""
    return await redis.eval(GUARDS[guard] + 'return "ran"', len(keys), *keys, *args)


@pytest.mark.parametrize(("held", "answer"), [("token:1", b"ran"), ("token:2", -6), (None, -6), ("token:12", -6)])
async def test_the_lock_guard_lets_through_only_who_holds_the_lock(
    held: str | None, answer: Any, redis: Redis
) -> None:
    if held is not None:
        await redis.set("lock", held)
    assert await guarded(redis, "lock", ["some", "lock"], ["x", "token:1"]) == answer


@pytest.mark.parametrize(
    ("fields", "answer"),
    [
        ({"finishedOn": "5"}, b"ran"),
        ({"finishedOn": "5", "dlq": "older"}, b"ran"),
        ({"finishedOn": "5", "dlq": "letter"}, -6),
        ({"finishedOn": "6"}, -6),
        ({"x": "y"}, -6),
    ],
)
async def test_the_death_guard_lets_one_letter_through_for_a_death(
    fields: dict[str, str], answer: Any, redis: Redis
) -> None:
    await redis.hset("job", items=[part for field in fields.items() for part in field])
    before = await redis.hgetall("job")
    assert await guarded(redis, "same failure", ["some", "job"], ["x", "5", "letter"]) == answer
    after = await redis.hgetall("job")
    assert after == (before if answer == -6 else {**before, b"dlq": b"letter"})
    assert await guarded(redis, "same failure", ["some", "job"], ["x", "5", "letter"]) == -6


async def test_a_guard_leaves_keys_and_arguments_as_the_script_expects_them(redis: Redis) -> None:
    await redis.set("lock", "token:1")
    text = GUARDS["lock"] + "return {#KEYS, #ARGV, KEYS[1], ARGV[1]}"
    assert await redis.eval(text, 2, "some", "lock", "x", "token:1") == [1, 1, b"some", b"x"]


@pytest.mark.parametrize("guard", sorted(GUARDS))
async def test_a_guarded_script_is_another_script_that_redis_can_load(guard: str, redis: Redis) -> None:
    loaded = script("addStandardJob", guard)
    assert loaded.text.endswith(script("addStandardJob").text)
    assert loaded.sha != script("addStandardJob").sha
    assert await redis.script_load(loaded.text) == loaded.sha


def test_a_command_is_packed_byte_by_byte() -> None:
    assert command_in(pack("SET", b"\xff", 5, 1.5)) == [b"SET", b"\xff", b"5", b"1.5"]
