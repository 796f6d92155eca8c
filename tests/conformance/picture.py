"""A picture of what a side left in Redis, in which only what must be equal on both sides can differ."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

TIME = "a time"
FIRST_TIME = 1_600_000_000_000
LAST_TIME = 2_000_000_000_000 * 4096
"""Scores of delayed jobs are times 4096 times as large."""
JSON_FIELDS = {"data", "opts", "parent", "progress", "returnvalue", "stacktrace"}
TIME_FIELDS = {"timestamp", "processedOn", "finishedOn", "prevTS", "prevMillis", "startDate", "next"}
ITERATION = re.compile(r"repeat:(\w+):(\d{13})")
MESSAGE = re.compile(r"boom[\w 🚀]*|job stalled [\w ]+|child \S+ failed|Job \S+ has \w+ \w+|job \S+ has \w+ \w+")
HEARTBEATS = "bull:auth-worker-heartbeats"
"""Keys that our processes have while they run, beside those of the queues."""
Picture = dict[str, Any]


async def take(redis: Any) -> Picture:
    """Everything in the database but heartbeats, times and tokens taken out."""
    keys = sorted(key for each in await redis.keys("*") if not (key := each.decode()).startswith(HEARTBEATS))
    read = {key: await _read(redis, key) for key in keys}
    raw = {key: value for key, value in read.items() if value["value"]}  # a key may end while others are read
    iterations = sorted({match[0] for match in ITERATION.finditer(repr(raw))})
    numbered = {name: f"{name.rpartition(':')[0]}:#{number}" for number, name in enumerate(iterations)}
    return {_named(key, numbered): _plain(key, value, numbered) for key, value in raw.items()}


def differences(node: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """What differs, as ``key field``, Node's value, ours; None stands for what is not there."""
    for key in sorted({*node, *ours}):
        theirs, own = node.get(key), ours.get(key)
        if theirs == own:
            continue
        if isinstance(theirs, dict) and isinstance(own, dict):
            for field, *values in differences(theirs, own):
                yield (f"{key} {field}", *values)
        else:
            yield key, theirs, own


async def _read(redis: Any, key: str) -> Any:
    kind = (await redis.type(key)).decode()
    match kind:
        case "string":
            value: Any = (await redis.get(key) or b"").decode()
        case "hash":
            value = {name.decode(): text.decode() for name, text in (await redis.hgetall(key)).items()}
        case "list":
            value = [item.decode() for item in await redis.lrange(key, 0, -1)]
        case "set":
            value = sorted(item.decode() for item in await redis.smembers(key))
        case "zset":
            value = [(item.decode(), score) for item, score in await redis.zrange(key, 0, -1, withscores=True)]
        case "stream":
            value = [
                {name.decode(): text.decode() for name, text in entry.items()}
                for _, entry in await redis.xrange(key)
            ]
        case _:
            value = None
    return {"kind": kind, "expires": await redis.pttl(key) > 0, "value": value}


def _plain(key: str, raw: dict[str, Any], numbered: Mapping[str, str]) -> Any:
    value = raw["value"]
    if isinstance(value, str):
        value = "a token" if key.endswith(":lock") else _untimed(value)
    elif isinstance(value, dict):
        value = {name: _field(name, text, "rjk" in value) for name, text in value.items()}
    elif value and isinstance(value[0], tuple):
        value = [f"{member} at {_untimed(score)}" for member, score in value]
        value = sorted(value) if key.rpartition(":")[2] in ("completed", "failed") else value
    elif value and isinstance(value[0], dict):
        entries = [{name: _field(name, text) for name, text in entry.items()} for entry in value]
        value = {f"{number:02d} {entry.get('event')}": entry for number, entry in enumerate(entries)}
    return {"kind": raw["kind"], "expires": raw["expires"], "value": _named(value, numbered)}


def _field(name: str, text: str, iteration: bool = False) -> Any:
    if name == "stacktrace":
        return [found[0] if (found := MESSAGE.search(trace)) else trace for trace in json.loads(text)]
    if name in JSON_FIELDS:
        try:
            return _json(json.loads(text), iteration)
        except ValueError:
            return f"not JSON: {text}"
    if name in TIME_FIELDS and text not in ("0", ""):
        return TIME
    if name == "delay":
        return TIME if iteration or int(text) > FIRST_TIME else round(int(text), -1)
    return _untimed(text)


def _json(value: Any, iteration: bool) -> Any:
    if isinstance(value, dict):
        return {
            name: TIME if iteration and name == "delay" else _json(part, iteration) for name, part in value.items()
        }
    if isinstance(value, list):
        return [_json(part, iteration) for part in value]
    return _untimed(value)


def _untimed(value: Any) -> Any:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return value
    return TIME if FIRST_TIME < number < LAST_TIME and not isinstance(value, bool) else value


def _named(value: Any, numbered: Mapping[str, str]) -> Any:
    """Give the iterations of job schedulers, whose ids hold a time, a number each."""
    if isinstance(value, str):
        return ITERATION.sub(lambda match: numbered.get(match[0], match[0]), value)
    if isinstance(value, dict):
        return {_named(name, numbered): _named(part, numbered) for name, part in value.items()}
    return [_named(part, numbered) for part in value] if isinstance(value, list) else value
