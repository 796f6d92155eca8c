"""Who enqueues: what is refused, options, and code without an event loop."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel, EmailStr, field_validator

from auth_worker.errors import BrokerUnavailableError, ConfigurationError, InvalidJobDataError
from auth_worker.job import Job
from auth_worker.tasks import INJECTED, TaskQueue
from support.processors import Harness
from support.servers import free_port
from support.task_services import QUEUE, task_queue


class User(BaseModel):
    name: str
    age: int

    @field_validator("name")
    @classmethod
    def _is_short(cls, value: str) -> str:
        if len(value) > 10:
            raise ValueError(f"{value.upper()} is too long")
        return value


class Smtp: ...


def welcome_of(queue: TaskQueue) -> Any:
    @queue.task
    async def welcome(
        to: EmailStr, user: User, copies: int = 1, *, job: Job = INJECTED, smtp: Smtp = INJECTED
    ) -> str:
        return f"{to} {user.name} {copies} {job!r} {smtp!r}"

    return welcome


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        ({"to": "hunter2", "user": {"name": "a", "age": 1}}, {"to": "is not valid"}),
        ({"to": "a@example.org"}, {"user": "Field required"}),
        ({"to": "a@example.org", "user": {"name": "hunter2hunter2", "age": 1}}, {"user.name": "is not valid"}),
        (
            {"to": "a@example.org", "user": {"name": "a", "age": "hunter2"}},
            {"user.age": "Input should be a valid integer"},
        ),
        (
            {"to": "a@example.org", "user": {"name": "a", "age": 1}, "copies": float("nan")},
            {"copies": "Input should be a finite number"},
        ),
    ],
)
async def test_bad_data_is_never_enqueued_and_no_message_shows_a_value(
    harness: Harness, arguments: dict[str, Any], fields: dict[str, str]
) -> None:
    queue = task_queue(harness)
    with pytest.raises(InvalidJobDataError) as caught:
        await welcome_of(queue).enqueue(**arguments)
    assert {each["field"]: each["message"] for each in caught.value.fields} == fields
    shown = str(caught.value) + repr(caught.value.__context__) + repr(caught.value.__cause__)
    assert "hunter2" not in shown.lower()
    assert await harness.redis.keys("*") == []


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        (("a@example.org", {}, 1, 2), {}, "takes 3 positional"),
        (("a@example.org",), {"to": "b@example.org"}, "two values for to"),
        ((), {"too": "a"}, "there is no parameter too"),
        ((), {"job": None}, "the worker provides job"),
        ((), {"smtp": None}, "the worker provides smtp"),
    ],
)
async def test_a_call_that_the_function_would_refuse_is_a_type_error(
    harness: Harness, args: tuple[Any, ...], kwargs: dict[str, Any], message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        await welcome_of(task_queue(harness)).enqueue(*args, **kwargs)


async def test_options_apply_to_the_jobs_that_are_enqueued_with_them(harness: Harness) -> None:
    queue = task_queue(harness)

    @queue.task(attempts=4, priority=2)
    async def greet(name: str) -> None: ...

    later = greet.options(delay=timedelta(minutes=1), job_id="one")
    handle = await later.options(attempts=6).enqueue("ada")
    assert (handle.id, handle.queue_name) == ("one", QUEUE)
    options = json.loads((await harness.job("one", QUEUE))["opts"])
    assert (options["delay"], options["attempts"], options["priority"]) == (60_000, 6, 2)
    assert await harness.redis.zscore(f"bull:{QUEUE}:delayed", "one") is not None
    plain = await greet.enqueue("ada")
    assert "delay" not in json.loads((await harness.job(plain.id, QUEUE))["opts"])
    again = await later.enqueue("bob")
    assert again.id == "one"
    assert json.loads((await harness.job("one", QUEUE))["data"]) == {"name": "ada"}
    await queue.close()


@pytest.mark.parametrize("options", [{"delay": -1}, {"colour": "red"}, {"attempts": "many"}])
def test_a_wrong_option_of_a_job_is_named(harness: Harness, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        welcome_of(task_queue(harness)).options(**options)


async def test_a_task_is_still_the_plain_function(harness: Harness) -> None:
    welcome = welcome_of(task_queue(harness))
    assert welcome.__name__ == "welcome"
    user = User(name="ada", age=36)
    assert await welcome("a@example.org", user, job=1, smtp=2) == "a@example.org ada 1 1 2"
    assert "INJECTED" in await welcome("a@example.org", user)
    with pytest.raises(AttributeError, match="the worker provides"):
        _ = INJECTED.send


async def test_enqueue_sync_works_from_threads_and_beside_a_running_loop(harness: Harness) -> None:
    queue = task_queue(harness)

    @queue.task
    async def greet(name: str) -> None: ...

    ids = [greet.enqueue_sync("from the loop's thread").id]
    threads = [threading.Thread(target=lambda: ids.append(greet.enqueue_sync("ada").id)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    ids.append((await greet.enqueue("bob")).id)
    assert len(set(ids)) == 6
    assert (await harness.counts(QUEUE))["wait"] == 6
    with pytest.raises(InvalidJobDataError):
        greet.enqueue_sync(5)  # type: ignore[arg-type]
    await queue.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
async def test_enqueue_sync_works_in_a_script_and_in_its_forked_children(harness: Harness) -> None:
    script = (
        "import os, sys\n"
        "from auth_worker.tasks import TaskQueue\n"
        f"queue = TaskQueue({QUEUE!r}, {harness.url!r})\n"
        "@queue.task\n"
        "def greet(name: str) -> None: ...\n"
        "greet.enqueue_sync('parent')\n"
        "child = os.fork()\n"
        "greet.enqueue_sync('both')\n"
        "if child:\n"
        "    greet.enqueue_sync('parent again')\n"
        "    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    command = [sys.executable, "-W", "error", "-c", script]
    ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=50)
    assert (ended.returncode, ended.stderr) == (0, "")
    names = [
        json.loads(await harness.redis.hget(f"bull:{QUEUE}:{each.decode()}", "data"))["name"]
        for each in await harness.redis.lrange(f"bull:{QUEUE}:wait", 0, -1)
    ]
    assert sorted(names) == ["both", "both", "parent", "parent again"]


def test_enqueue_sync_gives_up_in_time_for_a_web_request() -> None:
    queue = TaskQueue("mail", f"redis://127.0.0.1:{free_port()}", timeout=0.2)

    @queue.task
    def greet() -> None: ...

    with pytest.raises(BrokerUnavailableError):
        greet.enqueue_sync()


def test_by_default_an_enqueue_takes_at_most_two_seconds() -> None:
    queue = TaskQueue("mail", "redis://127.0.0.1:1")
    assert queue.timeout == 2
