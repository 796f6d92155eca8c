"""What ``add`` and ``add_bulk`` say of a job: new or there already; and the data and delays that they take."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, Field, SecretStr

from auth_worker.errors import BrokerError, ConfigurationError
from auth_worker.queue import JobOptionsDict
from support.processors import QUEUE, Harness

LATER: Any = {"delay": 60_000}


class Colour(Enum):
    RED = "red"


@dataclasses.dataclass
class Address:
    street: str
    since: datetime


class User(BaseModel):
    name: str = Field(serialization_alias="userName")
    key: UUID
    owes: Decimal
    likes: Colour
    photo: bytes
    lives: Address


ADA = User(
    name="ada",
    key=UUID(int=7),
    owes=Decimal("1.50"),
    likes=Colour.RED,
    photo=b"ok",
    lives=Address("Elm", datetime(2026, 1, 2, tzinfo=UTC)),
)
AS_JSON = {
    "userName": "ada",
    "key": "00000000-0000-0000-0000-000000000007",
    "owes": "1.50",
    "likes": "red",
    "photo": "ok",
    "lives": {"street": "Elm", "since": "2026-01-02T00:00:00Z"},
}


async def test_a_secret_that_would_be_written_as_stars_is_refused(harness: Harness) -> None:
    class Login(BaseModel):
        password: SecretStr

    for data in (Login(password=SecretStr("x")), {"login": [Login(password=SecretStr("x"))]}):
        with pytest.raises(ConfigurationError, match=r"data of job 'n' .* in Login is written as stars"):
            await harness.jobs.add("n", data)


@pytest.mark.parametrize("options", [{}, {"delay": 60_000}, {"priority": 3}, {"lifo": True}])
async def test_a_job_is_new_the_first_time_and_there_the_second(options: Any, harness: Harness) -> None:
    jobs = [await harness.jobs.add("n", {}, job_id="order-7", **options) for _ in range(2)]
    assert [(job, job.id, job.created) for job in jobs] == [
        ("order-7", "order-7", True),
        ("order-7", "order-7", False),
    ]
    assert [job.created for job in [await harness.jobs.add("n", {}, **options) for _ in range(3)]] == [True] * 3


async def test_a_bulk_says_it_of_each_job(harness: Harness) -> None:
    await harness.jobs.add("n", {}, job_id="b")
    ids = ("a", "b", "a", None)
    jobs = await harness.jobs.add_bulk({"name": "n", "opts": {"job_id": job_id}} for job_id in ids)
    assert [job.created for job in jobs] == [True, False, False, True]
    assert jobs[:3] == ["a", "b", "a"]


async def test_a_job_that_is_deduplicated_is_the_one_that_is_there(harness: Harness) -> None:
    first, second = [await harness.jobs.add("n", {}, deduplication={"id": "x"}) for _ in range(2)]
    assert (first.created, second.created, second) == (True, False, first.id)
    replaced = [await harness.jobs.add("n", {}, deduplication={"id": "y", "replace": True}, **LATER) for _ in "ab"]
    assert [job.created for job in replaced] == [True, True]
    assert replaced[0] != replaced[1]


@pytest.mark.parametrize("options", [{}, {"delay": 60_000}, {"priority": 3}])
async def test_a_child_is_new_or_there_already_too(options: JobOptionsDict, harness: Harness) -> None:
    await harness.jobs.add("parent", {}, job_id="p")
    parent = {"id": "p", "queue": f"bull:{QUEUE}"}
    given: Any = {**options, "parent": parent}
    assert (await harness.jobs.add("child", {}, **given)).created
    jobs = [await harness.jobs.add("child", {}, job_id="c", **given) for _ in range(2)]
    assert [job.created for job in jobs] == [True, False]
    assert await harness.redis.scard(f"bull:{QUEUE}:p:dependencies") == 2


async def test_a_script_that_redis_has_forgotten_is_loaded_again(harness: Harness) -> None:
    await harness.jobs.add("n", {}, job_id="a")
    await harness.redis.script_flush()
    assert not (await harness.jobs.add("n", {}, job_id="a")).created


async def test_an_added_job_is_its_id(harness: Harness) -> None:
    job = await harness.jobs.add("n", {})
    assert isinstance(job, str)
    assert json.dumps([job]) == json.dumps([job.id])
    by_id: dict[str, int] = {job: 1}
    assert by_id[job.id] == 1
    assert type(job.id) is str


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (ADA, AS_JSON),
        ({"users": [ADA], "n": 1}, {"users": [AS_JSON], "n": 1}),
        (ADA.lives, AS_JSON["lives"]),
    ],
)
async def test_models_and_dataclasses_are_data(data: Any, expected: Any, harness: Harness) -> None:
    job = await harness.jobs.add("n", data)
    assert json.loads((await harness.job(job))["data"]) == expected


async def test_a_model_with_a_number_that_is_not_json_is_refused(harness: Harness) -> None:
    class Measured(BaseModel):
        value: float

    with pytest.raises(ConfigurationError, match="data of job 'n' is not JSON"):
        await harness.jobs.add("n", Measured(value=float("nan")))
    with pytest.raises(ConfigurationError, match="data of job 'n' is not JSON: Object of type type"):
        await harness.jobs.add("n", Address)


async def test_a_delay_is_ms_or_a_timedelta(harness: Harness) -> None:
    for delay in (90_000, timedelta(seconds=90)):
        job = await harness.jobs.add("n", {}, delay=delay)
        assert json.loads((await harness.job(job))["opts"])["delay"] == 90_000
    with pytest.raises(ConfigurationError, match="delay"):
        await harness.jobs.add("n", {}, delay=timedelta(seconds=-1))


async def test_the_error_of_a_bulk_names_the_place_of_the_job(harness: Harness) -> None:
    with pytest.raises(ConfigurationError, match=r"^jobs\[2\]: data of job 'n' is not JSON"):
        await harness.jobs.add_bulk({"name": "n", "data": {1, 2} if number == 2 else 1} for number in range(4))
    wrong: Any = {"name": "n", "date": 1}
    with pytest.raises(ConfigurationError, match=r"^jobs\[1\]: a job is a dict of name, data and opts, not int"):
        await harness.jobs.add_bulk([{"name": "n"}, 3])  # type: ignore[list-item]
    with pytest.raises(ConfigurationError, match=r"^jobs\[1\]: a job has only name, data and opts, not date"):
        await harness.jobs.add_bulk([{"name": "n"}, wrong])
    orphan: Any = {"parent": {"id": "nobody", "queue": f"bull:{QUEUE}"}}
    with pytest.raises(BrokerError, match=r"^jobs\[1\]: the job was not added: its parent job does not exist"):
        await harness.jobs.add_bulk([{"name": "n"}, {"name": "n", "opts": orphan}])
    with pytest.raises(ConfigurationError, match=r"^data of job"):
        await harness.jobs.add("n", {1, 2})
