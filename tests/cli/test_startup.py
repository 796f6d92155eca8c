"""``auth-worker run`` with a Redis that is not up yet, unsuitable, unwilling or no Redis; and three signals."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from auth_worker import JobQueue
from auth_worker.system.handled_signals import MOMENT_S
from support.command_line import Worker, run_program
from support.fake_servers import Answer, impostor, redis_of_old, silence, web_server
from support.polling import wait_until
from support.servers import Server

StartWorker = Callable[..., Worker]
APP = """
import asyncio
from auth_worker import WorkerService
service = WorkerService()
@service.processor("work", worker_config={"stalled_interval": 200})
async def consume(job):
    while job.data.get("hangs"):
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass
"""
RESUMED_WITHIN_S = 2.0


@pytest.fixture
def app(folder: Path) -> str:
    """A service whose consumer does nothing, or hangs and cannot be cancelled."""
    (folder / "app_of_test.py").write_text(APP)
    return "app_of_test:service"


def add(url: str, job_id: str, **data: Any) -> None:
    async def add_one() -> None:
        async with JobQueue("work", url) as queue:
            await queue.add("n", data, job_id=job_id)

    asyncio.run(add_one())


def is_done(client: Redis, job_id: str) -> bool:
    return client.zscore("bull:work:completed", job_id) is not None


def refusal(folder: Path, code: int, *arguments: object) -> str:
    """What ``run`` says that ends with ``code``: a message without a secret."""
    ended = run_program(folder, "run", "--http-port", "none", *arguments)
    assert ended.returncode == code, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "wr0ng" not in ended.stderr
    return f"\n{ended.stderr}".partition("\nerror: ")[2]


@pytest.fixture(scope="module")
def guarded() -> Iterator[Server]:
    """With a user ``ann``, whose password is not what the tests give."""
    with Server() as server:
        assert server.ask("ACL SETUSER ann on >s3cret ~* +@all").startswith(b"+OK")
        yield server


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "redis://ann:wr0ng@127.0.0.1:{port}",
            "WRONGPASS invalid username-password pair or user is disabled; check",
        ),
        ("redis://127.0.0.1:{port}/99", "DB index is out of range; use another database"),
    ],
    ids=["a wrong password", "a wrong database"],
)
def test_what_waiting_cannot_fix_ends_it_at_once_with_4(
    folder: Path, guarded: Server, url: str, message: str
) -> None:
    assert message in refusal(folder, 4, "--redis", url.format(port=guarded.port), "--startup-timeout", 60)


@pytest.mark.parametrize(
    ("who", "message"),
    [
        (web_server, 'Redis broke its protocol: Protocol error, got "H" as reply type byte; is that Redis?'),
        (silence, "no answer; is that Redis, and does no firewall block it?"),
    ],
)
def test_what_is_not_redis_ends_it_with_4_once_the_time_is_up(
    folder: Path, who: Callable[[], Answer], message: str
) -> None:
    with impostor(who) as port:
        said = refusal(folder, 4, "--redis", f"redis://127.0.0.1:{port}", "--startup-timeout", 0.5)
    assert f"cannot connect to redis://127.0.0.1:{port}/0 within 0.5 s: " in said
    assert message in said
    assert "AUTH_WORKER_REDIS_URL names another" in said


def test_a_redis_too_old_ends_it_with_1(folder: Path) -> None:
    with impostor(redis_of_old) as port:
        said = refusal(folder, 1, "--redis", f"redis://127.0.0.1:{port}")
    assert "is Redis 5.0.14, which is too old: use Redis 6.2 or newer, or Valkey" in said


def test_a_redis_that_comes_later_is_waited_for(folder: Path, worker: StartWorker, app: str) -> None:
    server = Server()
    waiting = worker(app, "--redis", server.url, ready="Broker not reachable yet")
    assert "Worker ready" not in waiting.output
    with server:
        wait_until(lambda: "Worker ready" in waiting.output, "it is not ready", RESUMED_WITHIN_S)
        assert waiting.end() == 0


def load(server: Server) -> None:
    """Start it from its snapshot; it loads until ``hurry`` is called."""
    server.kill()
    server.start(answer=b"-LOADING")


def hurry(server: Server) -> None:
    """Let the loading finish."""
    assert server.ask("CONFIG SET key-load-delay 0").startswith(b"+OK")
    wait_until(lambda: server.ask("PING").startswith(b"+PONG"), "it still loads")


def test_a_redis_that_loads_its_data_is_waited_for(folder: Path, worker: StartWorker, app: str) -> None:
    """At the start, and again in the middle of work, which goes on within 2 s of the end of the loading."""
    slow = {"key-load-delay": 20_000, "loading-process-events-interval-bytes": 1024}
    with Server(config=slow) as server, Redis(port=server.port) as client:
        client.mset({f"filler:{number}": "x" * 2000 for number in range(1500)})
        add(server.url, "early")
        client.save()
        load(server)
        running = worker(app, "--redis", server.url, ready="Broker not reachable yet")
        assert "LOADING" in running.output
        assert "wait longer (startup_timeout)" in running.output
        hurry(server)
        wait_until(lambda: is_done(client, "early"), "the job is not done", RESUMED_WITHIN_S)
        client.save()
        load(server)
        wait_until(lambda: "Broker connection lost" in running.output, "it has not noticed")
        hurry(server)
        add(server.url, "late")
        wait_until(lambda: is_done(client, "late"), "the job is not done", RESUMED_WITHIN_S)
        assert running.end() == 0


def test_a_user_who_may_not_name_its_connection_works(
    folder: Path, worker: StartWorker, app: str, guarded: Server
) -> None:
    assert guarded.ask("ACL SETUSER bob on >s3cret ~* +@all -client|setname -client|unblock").startswith(b"+OK")
    running = worker(app, "--redis", f"redis://bob:s3cret@127.0.0.1:{guarded.port}", "--log-level", "INFO")
    add(guarded.url, "nameless")
    with Redis(port=guarded.port) as client:
        wait_until(lambda: is_done(client, "nameless"), "the job is not done")
    assert running.end() == 0


def test_the_third_signal_ends_it_at_once_and_the_job_is_handed_back(
    folder: Path, worker: StartWorker, app: str, redis_url: str
) -> None:
    """Though the consumer cannot be cancelled, and the second signal would give it some seconds more."""
    running = worker(app, "--redis", redis_url, "--shutdown-timeout", "60")
    add(redis_url, "endless", hangs=True)
    with Redis.from_url(redis_url) as client:
        wait_until(lambda: client.llen("bull:work:active") == 1, "the job was not taken")
        running.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "Shutdown signal received" in running.output, "the first signal goes unnoticed")
        time.sleep(MOMENT_S)
        running.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "Second shutdown signal received" in running.output, "the second signal goes unnoticed")
        time.sleep(MOMENT_S)
        before = time.monotonic()
        assert running.end() == 3
        assert time.monotonic() - before < 2.5
        assert client.lrange("bull:work:wait", 0, -1) == [b"endless"]
    assert "ended at the third signal" in running.output
