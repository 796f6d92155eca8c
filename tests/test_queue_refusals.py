"""What a producer refuses: invalid options, data, names and jobs, of which nothing is added."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from auth_worker.brokers.redis.job_encoder import JobEncoder
from auth_worker.config import Settings
from auth_worker.errors import BrokerError, ConfigurationError
from auth_worker.queue import JobQueue, job_options
from support.processors import QUEUE, Harness


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"attempst": 1}, "attempst is not known; did you mean attempts"),
        ({"delay": -1}, "delay"),
        ({"delay": 10**16}, "delay"),
        ({"attempts": "many"}, "attempts"),
        ({"priority": 2**21}, "priority"),
        ({"backoff": {"type": "magic"}}, "backoff"),
        ({"backoff": "soon"}, "backoff"),
        ({"remove_on_fail": "all"}, "remove_on_fail"),
        ({"job_id": "0:x"}, "job_id"),
        ({"job_id": "wait"}, "job_id"),
        ({"job_id": "17"}, "job_id"),
        ({"size_limit": 0}, "size_limit"),
    ],
)
async def test_a_wrong_option_is_named_and_nothing_is_added(options: Any, field: str, harness: Harness) -> None:
    with pytest.raises(ConfigurationError, match=field):
        await harness.jobs.add_bulk([{"name": "good", "data": 1}, {"name": "bad", "data": 1, "opts": options}])
    assert await harness.redis.keys(f"bull:{QUEUE}:*") == []


@pytest.mark.parametrize("data", [float("nan"), {"x": float("inf")}, object(), {1, 2}, b"x"])
async def test_data_that_is_not_json_is_refused(data: Any, harness: Harness) -> None:
    with pytest.raises(ConfigurationError, match="data of job 'send' is not JSON"):
        await harness.jobs.add("send", data)
    assert await harness.redis.keys(f"bull:{QUEUE}:*") == []


class Loud(dict[str, Any]):
    """Raises when it is read, and quotes a value."""

    def items(self) -> Any:
        raise ValueError(f"no number: {self['password']!r}")


def test_an_error_about_unreadable_data_is_masked() -> None:
    encoder = JobEncoder(QUEUE, Settings(), {})
    with pytest.raises(ConfigurationError, match=r"data of job 'send' is not JSON: no number: '\*\*\*'"):
        encoder.template("send", Loud(password="hunter2"), {})


@pytest.mark.parametrize("name", ["", None, 5])
async def test_a_job_needs_a_name(name: Any, harness: Harness) -> None:
    with pytest.raises(ConfigurationError, match="name must be a text"):
        await harness.jobs.add(name, {})


async def test_data_beyond_the_limit_is_refused_naming_the_setting(harness: Harness) -> None:
    assert await harness.jobs.add("send", "x" * 100, size_limit=10_000)
    with pytest.raises(ConfigurationError, match="102 bytes, more than size_limit allows: 100"):
        await harness.jobs.add("send", "x" * 100, size_limit=100)
    assert (await harness.counts())["wait"] == 1


async def test_the_settings_limit_cannot_be_raised_by_a_job(harness: Harness) -> None:
    settings = Settings(http_port=None, max_payload_bytes=2000)
    async with JobQueue(QUEUE, harness.url, settings=settings) as queue:
        with pytest.raises(ConfigurationError, match="more than max_payload_bytes allows: 2000"):
            await queue.add("send", "x" * 3000, size_limit=10**6)
    assert (await harness.counts())["wait"] == 0


async def test_a_missing_parent_is_reported(harness: Harness) -> None:
    with pytest.raises(BrokerError, match="parent job does not exist"):
        await harness.jobs.add("send", 1, parent={"id": "none", "queue": f"bull:{QUEUE}"})
    assert sum((await harness.counts()).values()) == 0


@pytest.mark.parametrize("name", ["", "a:b", None])
def test_a_queue_needs_a_plain_name(name: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^name must be"):
        JobQueue(name, "redis://cache")


def test_wrong_default_options_are_refused_at_once() -> None:
    with pytest.raises(ConfigurationError, match="delay"):
        JobQueue(QUEUE, "redis://cache", default_options={"delay": -1})


def test_a_wrong_option_with_a_union_type_is_reported_by_its_name_alone() -> None:
    with pytest.raises(ConfigurationError) as raised:
        job_options({"backoff": "soon"})
    assert "backoff:" in str(raised.value)
    assert "backoff.int" not in str(raised.value)


async def test_a_job_that_cannot_be_encoded_is_refused_and_the_others_are_added(harness: Harness) -> None:
    names = ["good", "bad\ud800", "good", "good"]
    added = await asyncio.gather(*(harness.jobs.add(name, {}) for name in names), return_exceptions=True)
    assert isinstance(added[1], ConfigurationError)
    assert "UTF-8" in str(added[1])
    with pytest.raises(ConfigurationError, match="UTF-8"):
        await harness.jobs.add_bulk([{"name": name, "data": {}} for name in names])
    with pytest.raises(ConfigurationError, match="UTF-8"):
        await harness.jobs.add("bad\ud800", {}, delay=1000)
    assert (await harness.counts())["wait"] == 3
    await harness.jobs.add("good", {})
    assert (await harness.counts())["wait"] == 4


async def test_a_bulk_refuses_what_is_not_a_job(harness: Harness) -> None:
    for stray in ("a", {"name": "n", "a": 1}):
        with pytest.raises(
            ConfigurationError, match=r"a job (has only|is a dict of) name, data and opts, not (a|str)$"
        ):
            await harness.jobs.add_bulk([{"name": "n"}, stray])  # type: ignore[list-item]
    assert (await harness.counts())["wait"] == 0
