"""Whatever stands in a query or a body: no answer is a server error, and a wrong value is refused by its field."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auth_worker.admin.visible_data import encodable
from support.admin_api import ADMIN, JOBS
from support.http_requests import Answer, Api, ask
from support.processors import DEAD, QUEUE

HEADERS = {"Authorization": f"Bearer {ADMIN}", "X-Auth-Worker": "1", "Content-Type": "application/json"}
LETTERS = f"/dead-letters/{DEAD}"
bounded = settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))

NOT_NUMBERS = [
    *("", " ", "nan", "NaN", "inf", "-inf", "Infinity", "1e400"),
    *("1e400s", "٣", "²", "1_000", "0x10", "1,5"),
]
NOT_NUMBERS += ["9" * 30, "9" * 5000, "-1", "-0.5", "\0", "true", "null", "[]", "1;2", "🚀", "1" + "e" * 500]
TEXTS = [
    *("\0", "\ud800", "🚀" * 200, "x" * 1000, "*" * 1000, "\\" * 999 + "*", "%", "'\""),
    *("\u202e\x1b[2J", "[", "(?"),
]
NUMBERS: list[Any] = [
    *(-1, -(2**63), 2**53, 2**63, 2**64, 10**30, 1e308, -1e308),
    *(5e-324, 0.5, True, "1", "nan", [], {}),
]
RAW_NUMBERS = [
    *("NaN", "Infinity", "-Infinity", "1e400", "-1e400", "9" * 10_000, "-" + "9" * 10_000, "0." + "1" * 10_000),
]
QUERIES = {
    JOBS: [
        "id",
        "name",
        "error",
        "where",
        "olderThan",
        "newerThan",
        "offset",
        "limit",
        "scan",
        "groupBy",
        "state",
    ],
    LETTERS: ["from", "jobId", "reason", "error", "name", "where", "olderThan", "newerThan", "offset", "limit"],
    f"{JOBS}/kept": ["reveal"],
    f"{JOBS}/kept/logs": ["limit", "reveal"],
    "/workers": ["queue"],
}
CONDITIONS = [
    "data.list.²=1",
    f"data.list.{'9' * 20}=1",
    f"data.list.{'9' * 5000}=1",
    "data.n=NaN",
    "data.n=1e400",
]
CONDITIONS += [
    f"data.n={'9' * 5000}",
    f"data.n={'[' * 900}",
    "=",
    "a..b=1",
    "a.=",
    "opts=1",
    "data.\0=\0",
    "a=" + "*" * 900,
]


def asked(port: int, path: str, method: str = "GET", body: bytes | None = None) -> Answer:
    return ask(port, f"/api/v1{path}", method, HEADERS, body)


def query(port: int, path: str, **values: str) -> Answer:
    required = {"state": "wait"} if path == JOBS else {}
    return asked(port, f"{path}?{urlencode({**required, **values}, errors='surrogatepass')}")


@pytest.mark.parametrize("path", QUERIES)
async def test_no_query_is_a_server_error(port: int, path: str) -> None:
    values = st.sampled_from([*NOT_NUMBERS, *TEXTS, *CONDITIONS]) | st.text(max_size=50)

    @given(values=st.dictionaries(st.sampled_from(QUERIES[path]), values, min_size=1, max_size=3))
    @bounded
    def check(values: dict[str, str]) -> None:
        answer = query(port, path, **values)
        assert answer.status in (200, 404, 422), (values, answer.text)
        if answer.status != 200:
            assert answer.json["reasons"]

    await asyncio.to_thread(check)


@pytest.mark.parametrize("path", [JOBS, LETTERS])
@pytest.mark.parametrize("name", ["olderThan", "newerThan", "offset", "limit", "scan", "reveal"])
async def test_a_number_of_a_query_is_a_plain_number_or_is_refused_by_its_name(
    port: int, path: str, name: str
) -> None:
    for value in NOT_NUMBERS:
        answer = await asyncio.to_thread(query, port, path, **{name: value})
        assert answer.status == 422, (name, value, answer.text)
        assert f"query.{name}: " in answer.reasons


async def test_no_condition_is_a_server_error(port: int) -> None:
    for path, condition in itertools.product((JOBS, LETTERS), CONDITIONS):
        answer = await asyncio.to_thread(query, port, path, where=condition)
        assert answer.status in (200, 422), answer.text
        body = json.dumps(
            {"action": "remove", "queue": QUEUE, "state": "wait", "where": [condition], "dryRun": True}
        )
        answer = await asyncio.to_thread(asked, port, "/operations", "POST", body.encode())
        assert answer.status in (202, 422), answer.text


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.sampled_from(NUMBERS)
    | st.floats(allow_nan=True, allow_infinity=True)
    | st.sampled_from([*TEXTS, *NOT_NUMBERS, "kept", QUEUE, DEAD]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "type", "delay", "\0"]), inner)
    ),
    max_leaves=6,
)
OPTIONS = [
    "jobId",
    "delay",
    "attempts",
    "backoff",
    "priority",
    "lifo",
    "removeOnComplete",
    "removeOnFail",
    "deduplication",
    "keepLogs",
    "stackTraceLimit",
    "sizeLimit",
    "timestamp",
    "parent",
    "failParentOnFailure",
    "continueParentOnFailure",
    "telemetry",
    "repeat",
    "unknown",
]
FIELDS = [
    "queue",
    "ids",
    "all",
    "rate",
    "id",
    "name",
    "error",
    "where",
    "olderThan",
    "newerThan",
    "dryRun",
    "state",
    "delayed",
    "from",
    "jobId",
    "reason",
    "keep",
    "unknown",
]
ACTIONS = ["retry", "promote", "remove", "cancel", "dead-letter", "drain", "clean", "redrive", "purge"]


async def test_no_job_is_a_server_error(port: int) -> None:
    @given(
        name=JSON | st.just("job"),
        data=JSON,
        opts=JSON | st.dictionaries(st.sampled_from(OPTIONS), JSON, max_size=4),
    )
    @bounded
    def check(name: Any, data: Any, opts: Any) -> None:
        body = json.dumps({"name": name, "data": data, "opts": opts}).encode()
        answer = asked(port, JOBS, "POST", body)
        assert answer.status in (201, 400, 404, 409, 422), (body, answer.text)
        assert answer.status == 201 or answer.json["reasons"]

    await asyncio.to_thread(check)


async def test_no_change_is_a_server_error(port: int) -> None:
    @given(change=JSON | st.dictionaries(st.sampled_from(["priority", "delay", "x"]), JSON))
    @bounded
    def check(change: Any) -> None:
        answer = asked(port, f"{JOBS}/kept", "PATCH", json.dumps(change).encode())
        assert answer.status in (200, 400, 404, 409, 422), (change, answer.text)

    await asyncio.to_thread(check)


async def test_no_bulk_operation_is_a_server_error(port: int) -> None:
    @given(
        action=st.sampled_from(ACTIONS) | JSON,
        queue=st.sampled_from([QUEUE, DEAD]) | JSON,
        fields=st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=3),
    )
    @bounded
    def check(action: Any, queue: Any, fields: dict[str, Any]) -> None:
        body = json.dumps({"action": action, "queue": queue, **fields}).encode()
        answer = asked(port, "/operations", "POST", body)
        assert answer.status in (202, 400, 404, 409, 422), (body, answer.text)

    await asyncio.to_thread(check)


BODIES = {
    "job name": (JOBS, "POST", '{"name": %s}'),
    "job data": (JOBS, "POST", '{"name": "x", "data": {"a": [1, %s]}}'),
    "delay": (JOBS, "POST", '{"name": "x", "opts": {"delay": %s}}'),
    "attempts": (JOBS, "POST", '{"name": "x", "opts": {"attempts": %s}}'),
    "backoff": (JOBS, "POST", '{"name": "x", "opts": {"backoff": %s}}'),
    "jitter": (JOBS, "POST", '{"name": "x", "opts": {"backoff": {"type": "fixed", "delay": 1, "jitter": %s}}}'),
    "removeOnFail": (JOBS, "POST", '{"name": "x", "opts": {"removeOnFail": %s}}'),
    "priority": (f"{JOBS}/kept", "PATCH", '{"priority": %s}'),
    "changed delay": (f"{JOBS}/kept", "PATCH", '{"delay": %s}'),
    "rate": (
        "/operations",
        "POST",
        f'{{"action": "remove", "queue": "{QUEUE}", "state": "wait", "all": true, "rate": %s}}',
    ),
    "olderThan": ("/operations", "POST", f'{{"action": "clean", "queue": "{QUEUE}", "olderThan": %s}}'),
    "keep": ("/operations", "POST", f'{{"action": "purge", "queue": "{DEAD}", "keep": %s}}'),
    "whole": ("/operations", "POST", "%s"),
}
BROKEN = [
    *("", "{", "\ufeff{}", "nul", '"\\ud800', '"\\x"', "'a'", "[1,]"),
    *('{"a":1,}', "[" * 100_000, '{"a":' * 100_000, "01"),
]


@pytest.mark.parametrize("body", BODIES)
async def test_a_number_that_json_has_not_is_refused_in_every_body(port: int, body: str) -> None:
    path, method, text = BODIES[body]
    for number in [*RAW_NUMBERS[:7], *BROKEN]:
        answer = await asyncio.to_thread(asked, port, path, method, (text % number).encode())
        assert answer.status in (400, 413, 422), (body, number[:30], answer.text[:300])
        assert answer.json["reasons"]


@pytest.mark.parametrize(
    "body",
    [b"\xff\xfe", b'{"name": "\xff"}', b"\x00", b'{"name": "\xed\xa0\x80"}'],
)
async def test_a_body_that_is_not_utf_8_is_refused(port: int, body: bytes) -> None:
    for path, method in ((JOBS, "POST"), (f"{JOBS}/kept", "PATCH"), ("/operations", "POST")):
        answer = await asyncio.to_thread(asked, port, path, method, body)
        assert answer.status in (400, 422), answer.text


@pytest.mark.parametrize(
    "text", ['"\\ud800"', '"\\u0000"', '"\\udfff\\ud800"', "[" * 400 + "]" * 400, "0." + "1" * 10_000]
)
async def test_odd_data_is_stored_and_shown(port: int, paused_api: Api, text: str) -> None:
    answer = await asyncio.to_thread(asked, port, JOBS, "POST", f'{{"name": "odd", "data": {text}}}'.encode())
    assert answer.status == 201, answer.text
    shown = await paused_api.get(f"{JOBS}/{quote(answer.json['id'])}", reveal="true")
    assert shown.status == 200, shown.text
    assert shown.json["data"] == encodable(json.loads(text))


async def test_a_wrong_number_of_a_body_is_refused_by_its_name(port: int) -> None:
    for name in ("delay", "attempts", "priority", "changed delay", "rate", "olderThan", "keep"):
        path, method, text = BODIES[name]
        for value in ('"1_000"', '"٣"', '"x"', "[]", "-5", "1e300", "9" * 4000):
            answer = await asyncio.to_thread(asked, port, path, method, (text % value).encode())
            assert answer.status == 422, (name, value, answer.text)
            assert name.split()[-1] in answer.reasons
