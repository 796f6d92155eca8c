"""``auth-worker run --processes`` and ``--reload``: several processes as one service, whatever becomes of them."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families

from auth_worker.supervisor.supervisor import LATER_S
from auth_worker.system.handled_signals import MOMENT_S
from support.command_line import run_here, run_program
from support.multiprocess_services import APP, MultiProcessService, StartWorker
from support.polling import wait_until
from support.running_processes import is_running
from support.servers import free_port


@pytest.fixture
def add(folder: Path, redis_url: str) -> Callable[..., None]:
    """Adds jobs by name to the queue of the tests."""

    def add(*names: str) -> None:
        lines = folder / "jobs.jsonl"
        lines.write_text("".join(json.dumps({"name": name, "data": {}}) + "\n" for name in names))
        assert run_here("add", "work", "--lines", "jobs.jsonl", "--redis", redis_url) == 0

    return add


def test_processes_share_the_work_and_one_port_speaks_for_them(
    folder: Path, worker: StartWorker, redis_url: str, add: Callable[..., None]
) -> None:
    service = MultiProcessService(folder, worker, "--redis", redis_url, "--name", "pod")
    add(*["job"] * 30)
    with redis.Redis.from_url(redis_url) as client:
        wait_until(lambda: client.zcard("bull:work:completed") == 30, "jobs are left")
        by = {
            client.hget(f"bull:work:{job.decode()}", "returnvalue")
            for job in client.zrange("bull:work:completed", 0, -1)
        }
    assert by == {str(pid).encode() for pid in service.pids}
    families = {each.name: each for each in text_string_to_metric_families(service.ask("/metrics")[1])}
    done = {
        sample.labels["process"]: sample.value
        for sample in families["auth_worker_jobs"].samples
        if sample.labels["outcome"] == "completed"
    }
    assert done.keys() == {"1", "2"}
    assert sum(done.values()) == 30
    assert families["auth_worker_processes"].samples[0].value == 2
    status, health = service.ask("/health")
    assert (status, [one["process"] for one in json.loads(health)["processors"]]) == (200, [1, 2])
    assert {line["worker"] for line in service.logged("Worker service starting")} == {"pod-1", "pod-2"}
    assert service.ask("/livez")[0] == service.ask("/startupz")[0] == 200
    assert service.ask("/nothing")[0] == 404
    assert service.parent.end() == 0
    assert not any(map(is_running, service.pids))


def test_a_process_that_dies_is_restarted_and_reported(
    folder: Path, worker: StartWorker, redis_url: str, add: Callable[..., None]
) -> None:
    service = MultiProcessService(folder, worker, "--redis", redis_url)
    first, second = service.pids
    os.kill(second, signal.SIGKILL)
    wait_until(lambda: len(service.logged("Worker process started")) == 3, "it is not started again")
    (died,) = service.logged("A worker process ended by itself")
    assert (died["process"], died["signal"], died["exit_code"]) == (2, "SIGKILL", None)
    service.ready(2)
    assert service.pids[0] == first
    assert "auth_worker_process_restarts_total 1.0" in service.ask("/metrics")[1]
    assert service.parent.end(signal.SIGINT) == 0


def test_a_process_that_stands_still_is_not_live(folder: Path, worker: StartWorker, redis_url: str) -> None:
    service = MultiProcessService(folder, worker, "--redis", redis_url)
    os.kill(service.pids[0], signal.SIGSTOP)
    try:
        status, report = service.ask("/livez")
        assert (status, json.loads(report)["reasons"]) == (503, ["process 1: no answer: TimeoutError"])
    finally:
        os.kill(service.pids[0], signal.SIGCONT)
    wait_until(lambda: service.ask("/livez")[0] == 200, "it is not live again")


def test_processes_end_in_order_when_their_parent_is_killed(
    folder: Path, worker: StartWorker, redis_url: str
) -> None:
    service = MultiProcessService(folder, worker, "--redis", redis_url)
    pids = service.pids
    service.parent.kill()
    wait_until(lambda: not any(map(is_running, pids)), "a process lives on")
    assert len(service.logged("Worker service stopped")) == 2


def test_the_exit_code_reports_the_process_that_handed_work_back(
    folder: Path, worker: StartWorker, redis_url: str, add: Callable[..., None]
) -> None:
    service = MultiProcessService(folder, worker, "--redis", redis_url, "--shutdown-timeout", "0.2")
    add("wait")
    with redis.Redis.from_url(redis_url) as client:
        wait_until(lambda: client.llen("bull:work:active") == 1, "the job was not taken")
        assert service.parent.end() == 3
        assert client.llen("bull:work:wait") == 1


def test_the_second_signal_hands_back_and_the_third_kills(
    folder: Path, worker: StartWorker, redis_url: str, add: Callable[..., None]
) -> None:
    service = MultiProcessService(folder, worker, "--redis", redis_url, "--shutdown-timeout", "600")
    add("wait", "ignore")
    with redis.Redis.from_url(redis_url) as client:
        wait_until(lambda: client.llen("bull:work:active") == 2, "the jobs were not taken")
        service.parent.process.send_signal(signal.SIGTERM)
        wait_until(lambda: len(service.logged("Worker service stopping")) == 2, "they do not stop")
        assert service.ask("/readyz")[0] == 503
        assert service.parent.process.poll() is None
        time.sleep(MOMENT_S + LATER_S)
        service.parent.process.send_signal(signal.SIGTERM)
        wait_until(lambda: client.llen("bull:work:wait") == 2, "the jobs were not handed back")
        time.sleep(MOMENT_S + LATER_S)
        assert service.parent.end() == 3
    assert not any(map(is_running, service.pids))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_all_processes_and_passed_on_by_the_parent_is_one(
    folder: Path, worker: StartWorker, redis_url: str, add: Callable[..., None], number: signal.Signals
) -> None:
    service = MultiProcessService(folder, worker, "--redis", redis_url)
    add("moment", "moment")
    with redis.Redis.from_url(redis_url) as client:
        wait_until(lambda: client.llen("bull:work:active") == 2, "the jobs were not taken")
        for pid in (*service.pids, service.parent.process.pid):
            os.kill(pid, number)
        assert service.parent.process.wait(30) == 0
        assert client.zcard("bull:work:completed") == 2
    assert service.logged("Second shutdown signal received, stopping now") == []


@pytest.mark.parametrize(
    ("app", "url", "code", "message"),
    [
        ("service = 3", None, 1, "must be a WorkerService"),
        (APP, "redis://127.0.0.1:{}", 4, "cannot connect"),
    ],
)
def test_what_cannot_start_at_all_ends_with_its_code(
    folder: Path, redis_url: str, app: str, url: str | None, code: int, message: str
) -> None:
    (folder / "app.py").write_text(app)
    url = redis_url if url is None else url.format(free_port())
    asked = ("run", "app:service", "--processes", 2, "--redis", url, "--startup-timeout", "1")
    ended = run_program(folder, *asked, http_port=str(free_port()))
    assert (ended.returncode, message in ended.stderr) == (code, True), ended.stderr


def test_a_taken_port_is_reported_before_any_process_starts(folder: Path) -> None:
    (folder / "app.py").write_text(APP)
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as taken:
        port = taken.getsockname()[1]
        ended = run_program(folder, "run", "app:service", "--processes", 2, http_port=str(port))
    assert ended.returncode == 1
    assert "is taken" in ended.stderr
    assert "Worker process started" not in ended.stderr


def test_a_pause_of_the_service_reaches_every_process(folder: Path, worker: StartWorker, redis_url: str) -> None:
    service = MultiProcessService(folder, worker, "--redis", redis_url)
    assert service.send("POST", "/api/v1/service/pause")[0] == 403
    status, told = service.send("POST", "/api/v1/service/pause", **{"X-Auth-Worker": "1"})
    assert status == 200
    assert [(one["process"], one["isPaused"]) for one in told["processors"]] == [(1, True), (2, True)]
    status, told = service.send("POST", "/api/v1/service/processors/work/resume", **{"X-Auth-Worker": "1"})
    assert [one["isPaused"] for one in told["processors"]] == [False, False]
    assert service.send("POST", "/api/v1/service/processors/none/pause", **{"X-Auth-Worker": "1"})[0] == 404


def test_the_processes_ask_for_a_token_and_count_wrong_ones_by_the_address_they_really_come_from(
    folder: Path, worker: StartWorker, redis_url: str
) -> None:
    (folder / "auth-worker.toml").write_text('http_token = "canary"\n')
    service = MultiProcessService(folder, worker, "--redis", redis_url)
    assert [service.ask(path)[0] for path in ("/metrics", "/health", "/livez")] == [401, 401, 200]
    wrong, right = {"Authorization": "Bearer guess"}, {"Authorization": "Bearer canary"}
    stranger = "127.0.0.2"
    tries = [
        service.send("GET", "/api/v1/queues", stranger, **wrong, **{"X-Forwarded-For": "127.0.0.1"})[0]
        for _ in range(11)
    ]
    assert tries == [401] * 10 + [429]
    assert service.send("GET", "/api/v1/queues", stranger, **right)[0] == 200, "a right token is always heard"
    assert service.send("GET", "/api/v1/queues", **right)[0] == 200


def test_a_change_of_a_file_starts_the_process_anew_and_an_error_waits_for_the_next(
    folder: Path, worker: StartWorker, redis_url: str
) -> None:
    service = MultiProcessService(folder, worker, "--reload", "--redis", redis_url, size=1)
    (first,) = service.pids
    (folder / "app.py").write_text("this is no Python")
    wait_until(lambda: "SyntaxError" in service.parent.output, "it is not started anew", 20)
    wait_until(lambda: service.logged("A worker process ended by itself"), "its end is not told", 20)
    assert service.ask("/readyz")[0] == 503
    (folder / "app.py").write_text(APP)
    wait_until(lambda: service.ask("/readyz")[0] == 200, "it did not start again", 20)
    assert service.pids != [first]
    assert service.parent.end() == 0


def test_reload_without_its_package_names_the_extra(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    assert run_here("run", "--reload") == 1
    assert "auth-worker[reload]" in " ".join(capsys.readouterr().err.split())
