"""Django: the contract of its tasks framework, commits, the management command, the project in ``examples/``."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis

from auth_worker.config import Settings
from auth_worker.errors import ConfigurationError
from support.django_sites import set_up, start_worker
from support.processors import eventually

set_up()

from django.core.management import call_command  # noqa: E402 - Django must be set up
from django.core.management.base import CommandError  # noqa: E402
from django.db import transaction  # noqa: E402
from django.test import Client, override_settings  # noqa: E402
from examples.django_project.mails import tasks  # noqa: E402
from examples.django_project.settings import TASKS  # noqa: E402

from auth_worker.django import framework  # noqa: E402
from auth_worker.django.results import bullmq_priority, find_task  # noqa: E402
from auth_worker.django.worker import make_service  # noqa: E402

Status = framework.TaskResultStatus


def configured(redis_url: str, **options: Any) -> dict[str, Any]:
    """The setting ``TASKS`` of the project, with other options."""
    default: dict[str, Any] = dict(TASKS["default"])
    own = {**default["OPTIONS"], "redis_url": redis_url, "enqueue_on_commit": False, **options}
    return {"default": {**default, "OPTIONS": own}}


@pytest.fixture
def site(redis_url: str) -> Iterator[None]:
    """Django with its tasks on the emptied server."""
    with override_settings(TASKS=configured(redis_url)):
        yield


@pytest.fixture
def stored(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture
async def worker(site: None) -> AsyncIterator[None]:
    """A worker of the tasks, in this process."""
    async with make_service(settings=Settings(http_port=None)):
        yield


@pytest.fixture
def heard() -> Iterator[list[tuple[str, str, str]]]:
    """What Django's observers were told: the signal, the task's id, its status."""
    told: list[tuple[str, str, str]] = []
    receivers: dict[str, Callable[..., None]] = {}
    for name in ("task_enqueued", "task_started", "task_finished"):

        def receive(task_result: Any, name: str = name, **_: Any) -> None:
            told.append((name, task_result.id, str(task_result.status)))
            if name == "task_started":
                raise RuntimeError("an observer's own fault")

        receivers[name] = receive
        getattr(framework.signals, name).connect(receive)
    yield told
    for name, receive in receivers.items():
        getattr(framework.signals, name).disconnect(receive)


async def ended(result: Any) -> Any:
    """The result, once its task has finished."""
    deadline = time.monotonic() + 30
    while not result.is_finished:
        assert time.monotonic() < deadline, result
        await result.arefresh()
    return result


async def test_a_task_runs_and_its_result_is_read(worker: None, heard: list[tuple[str, str, str]]) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    result = await tasks.welcome.aenqueue("ada@example.org")
    assert (result.status, result.args, result.kwargs) == (Status.READY, ["ada@example.org"], {})
    done = await ended(result)
    assert (done.status, done.return_value, done.attempts) == (Status.SUCCESSFUL, "welcome, ada@example.org", 1)
    assert before < done.enqueued_at <= done.started_at <= done.finished_at
    assert done.last_attempted_at == done.started_at
    assert (await tasks.welcome.aget_result(result.id)).return_value == done.return_value
    enqueued = ("task_enqueued", result.id, "READY")
    assert enqueued in heard, "at some time: a worker may be faster than its sender"
    assert [each for each in heard if each != enqueued] == [
        ("task_started", result.id, "RUNNING"),
        ("task_finished", result.id, "SUCCESSFUL"),
    ]


async def test_a_task_is_attempted_again_and_knows_its_attempt(
    worker: None, heard: list[tuple[str, str, str]]
) -> None:
    done = await ended(await tasks.count_attempts.aenqueue(failing_until=2))
    assert (done.status, done.return_value, done.attempts, len(done.errors)) == (Status.SUCCESSFUL, 2, 2, 1)
    assert done.errors[0].exception_class is RuntimeError
    assert "not yet" in done.errors[0].traceback
    assert [name for name, _, _ in heard].count("task_finished") == 1


async def test_a_task_that_fails_for_good_has_its_errors(worker: None, stored: redis.Redis) -> None:
    done = await ended(await tasks.count_attempts.aenqueue(failing_until=9))
    assert (done.status, done.attempts) == (Status.FAILED, 3)
    assert [error.exception_class for error in done.errors] == [RuntimeError] * 3
    with pytest.raises(ValueError, match="failed"):
        _ = done.return_value
    letter: Any
    (letter,) = stored.lrange("bull:djangoDead:wait", 0, -1)
    assert json.loads(stored.hget(f"bull:djangoDead:{letter}", "data") or "")["reasonClass"] == "exhausted"


async def test_a_call_that_the_function_refuses_fails_as_an_error_of_its_own(
    worker: None, heard: list[tuple[str, str, str]]
) -> None:
    done = await ended(await tasks.welcome.aenqueue(nobody=1))
    assert (done.status, done.errors[-1].exception_class) == (Status.FAILED, TypeError)
    assert heard[-1] == ("task_finished", done.id, "FAILED")


async def test_a_job_of_another_producer_is_run_and_can_be_read(worker: None) -> None:
    backend = framework.task_backends["default"]
    data = {"args": [], "kwargs": {"to": "bob"}}
    await backend.jobs("mails").add(tasks.welcome.module_path, data, job_id="7-mails")
    done = await ended(await tasks.welcome.aget_result("7-mails"))
    assert (done.return_value, done.task.priority) == ("welcome, bob", 0)


async def test_a_name_that_is_no_task_is_dead_at_once_and_nothing_is_imported(
    worker: None, stored: redis.Redis
) -> None:
    backend = framework.task_backends["default"]
    job = await backend.jobs("default").add("antigravity.geohash", {"args": [], "kwargs": {}})

    async def has_failed() -> bool:
        return stored.zscore("bull:default:failed", job) is not None

    await eventually(has_failed, "the job has failed")
    assert stored.hget(f"bull:default:{job}", "failedReason") == "Unknown task: antigravity.geohash"
    assert find_task("antigravity.geohash") is None


def test_priorities_keep_their_order_and_a_later_time_is_a_delay(site: None, stored: redis.Redis) -> None:
    urgent, usual, least = (tasks.welcome.using(priority=each).enqueue("a") for each in (100, 0, -100))
    ranks = [stored.zscore("bull:mails:prioritized", each.id) for each in (urgent, usual, least)]
    assert ranks == sorted(ranks, key=lambda rank: rank or 0)
    assert [bullmq_priority(each) for each in (100, 0, -100)] == [1, 101, 201]
    later = datetime.now(UTC) + timedelta(hours=1)
    delayed = tasks.welcome.using(run_after=later).enqueue("a")
    assert stored.hget(f"bull:mails:{delayed.id}", "delay") is not None
    assert int(stored.hget(f"bull:mails:{delayed.id}", "delay") or 0) == pytest.approx(3_600_000, abs=10_000)
    read = tasks.welcome.get_result(least.id)
    assert (read.task.priority, read.task.queue_name, read.status) == (-100, "mails", Status.READY)


def test_results_that_are_not_there_or_another_task_s_are_refused(site: None) -> None:
    result = tasks.welcome.enqueue("a")
    for other in ("", "nobody", "1234-mails", f"{result.id}-other", "1234-nowhere"):
        with pytest.raises(framework.TaskResultDoesNotExist):
            tasks.welcome.get_result(other)
    with pytest.raises(Exception, match="does not match"):
        tasks.count_attempts.get_result(result.id)


def test_what_is_not_json_or_not_of_this_backend_is_refused(site: None) -> None:
    with pytest.raises(TypeError):
        tasks.welcome.enqueue(to=object())
    with pytest.raises(Exception, match="Queue 'other' is not valid for backend"):
        tasks.welcome.using(queue_name="other")


def test_with_enqueue_on_commit_a_task_is_enqueued_with_the_commit_or_never(
    redis_url: str, stored: redis.Redis
) -> None:
    with override_settings(TASKS=configured(redis_url, enqueue_on_commit=True)):
        with transaction.atomic():
            result = tasks.welcome.enqueue("a")
            assert result.enqueued_at is None
            assert not stored.exists(f"bull:mails:{result.id}")
        assert result.enqueued_at is not None
        assert stored.exists(f"bull:mails:{result.id}")
        with contextlib.suppress(RuntimeError), transaction.atomic():
            lost = tasks.welcome.enqueue("a")
            raise RuntimeError
        assert not stored.exists(f"bull:mails:{lost.id}")


async def test_with_enqueue_on_commit_async_code_enqueues_at_once(redis_url: str, stored: redis.Redis) -> None:
    with override_settings(TASKS=configured(redis_url, enqueue_on_commit=True)):
        result = await tasks.welcome.aenqueue("a")
        assert stored.exists(f"bull:mails:{result.id}")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"redis_ulr": "x"}, "redis_url"),
        ({"attempts": 0}, "attempts"),
        ({"job_options": {"dealy": 1}}, "delay"),
        ({"worker_config": {"concurrencyy": 1}}, "concurrency"),
    ],
)
def test_wrong_options_are_named(redis_url: str, options: dict[str, Any], said: str) -> None:
    with (
        override_settings(TASKS=configured(redis_url, **options)),
        pytest.raises(framework.InvalidTaskBackend, match=said),
    ):
        _ = framework.task_backends["default"]


def test_a_worker_needs_queues_and_a_backend_of_ours(redis_url: str) -> None:
    own = configured(redis_url)["default"]
    immediate = f"{framework.BaseTaskBackend.__module__.rpartition('.')[0]}.immediate.ImmediateBackend"
    backends = {"default": own, "any": {**own, "QUEUES": []}, "other": {"BACKEND": immediate}, "idle": own}
    with override_settings(TASKS=backends):
        with pytest.raises(ConfigurationError, match="has no queue nowhere"):
            make_service(queues=["nowhere"])
        with pytest.raises(ConfigurationError, match="there are no tasks for TASKS\\['idle'\\]"):
            make_service("idle")
        with pytest.raises(ConfigurationError, match="set QUEUES"):
            make_service("any")
        with pytest.raises(ConfigurationError, match="is a ImmediateBackend"):
            make_service("other")
        with pytest.raises(CommandError, match="has no queue nowhere"):
            call_command("auth_worker", "--queue", "nowhere")
        assert [each.queue_name for each in make_service(queues=["mails"]).get_processors()] == ["mails"]


@pytest.mark.timeout(120)
def test_the_project_s_sign_ups_are_worked_by_its_command(redis_url: str, tmp_path: Path) -> None:
    process = start_worker(redis_url, tmp_path)
    try:
        with override_settings(TASKS=configured(redis_url, enqueue_on_commit=True)):
            client = Client(raise_request_exception=False)
            assert client.post("/signups/", {"to": "bob@example.org", "fail": "1"}).status_code == 500
            begun = client.post("/signups/", {"to": "ada@example.org"})
            assert begun.status_code == 202
            deadline = time.monotonic() + 60
            while (answer := client.get(f"/signups/{begun.json()['id']}/").json())["status"] != "SUCCESSFUL":
                assert time.monotonic() < deadline, (tmp_path / "worker.log").read_text()
                assert process.poll() is None, (tmp_path / "worker.log").read_text()
                time.sleep(0.05)
            assert answer["sent"] == "welcome, ada@example.org"
    finally:
        process.terminate()
        assert process.wait(30) == 0
