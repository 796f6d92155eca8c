"""``auth-worker doctor``, ``health`` and ``metrics``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from auth_worker.cli.formatting import ago, duration, moment, size
from support.command_line import Worker, magic_link, run_here, run_program
from support.prepared_queues import add
from support.processors import QUEUE
from support.servers import Server, free_port

COMMANDS = (
    *("queues", "jobs", "job", "workers", "health", "metrics", "doctor", "retry", "promote", "change", "remove"),
    *("pause", "resume", "drain", "clean", "dead list", "dead show", "dead redrive", "dead purge"),
)


# The doctor


def test_a_suitable_broker_exits_with_0(folder: Path, redis_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here("doctor", "--redis", redis_url) == 0
    said = capsys.readouterr()
    assert "maxmemory-policy noeviction" in said.out
    assert ": 0 faults, 1 warning" in said.err
    assert run_here("doctor", "--redis", redis_url, "--json") == 0
    diagnosis = json.loads(capsys.readouterr().out)
    assert diagnosis["healthy"] is True
    assert {finding["name"] for finding in diagnosis["findings"]} > {"version", "eviction", "clock", "latency"}


def test_a_fault_exits_with_3_and_its_remedy(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Server(config={"maxmemory-policy": "volatile-lru"}) as server:
        add(server.url, 1)
        assert run_here("doctor", "--redis", server.url) == 3
    said = capsys.readouterr().out
    assert "FAIL  eviction" in said
    assert "-> redis-cli CONFIG SET maxmemory-policy noeviction" in said
    assert f"no worker for {QUEUE} (1 waiting)" in said


def test_the_least_permissions_are_printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here("doctor", "--acl", "--prefix", "jobs") == 0
    rule = capsys.readouterr().out
    assert rule.startswith("ACL SETUSER auth-worker on >PASSWORD resetkeys ~jobs:* resetchannels -@all +bzpopmin ")
    assert "+evalsha" in rule


# A running service


def test_a_running_service_is_asked(folder: Path, worker: Callable[..., Worker]) -> None:
    settings = {"state_dir": "state", "http_port": str(free_port()), "http_token": "s3cret"}
    started = worker(**settings)
    for number in range(2):
        data = json.dumps(magic_link(f"ada{number}@acme.example"))
        run_program(folder, "add", "emailQueue", "sendMagicLinkEmail", "--data", data, **settings)
    health = run_program(folder, "health", **settings)
    assert (health.returncode, health.stdout.splitlines()[0]) == (0, "healthy"), health.stderr
    assert "emailQueue" in health.stdout
    assert json.loads(run_program(folder, "health", "--json", **settings).stdout)["processors"]
    assert run_program(folder, "health", "--live", **settings).returncode == 0
    assert run_program(folder, "health", "--ready", **settings).returncode == 0
    metrics = run_program(folder, "metrics", **settings)
    assert "outcome=completed queue=emailQueue" in metrics.stdout, metrics.stderr
    samples = [
        json.loads(line) for line in run_program(folder, "metrics", "--json", **settings).stdout.splitlines()
    ]
    assert {"auth_worker_jobs_total", "auth_worker_broker_up"} <= {sample["name"] for sample in samples}
    assert "# TYPE auth_worker_jobs_total counter" in run_program(folder, "metrics", "--raw", **settings).stdout
    stranger = run_program(folder, "health", **{**settings, "http_token": "other"})
    assert stranger.returncode == 1
    assert "wants a token: set AUTH_WORKER_HTTP_TOKEN" in stranger.stderr
    assert started.end() == 0


def test_a_service_whose_token_was_mounted_with_a_line_end_takes_it(
    folder: Path, worker: Callable[..., Worker]
) -> None:
    settings = {"state_dir": "state", "http_port": str(free_port()), "http_token": "s3crét\n"}
    started = worker(**settings)
    for token in ("s3crét\r\n", "s3crét"):
        health = run_program(folder, "health", **{**settings, "http_token": token})
        assert (health.returncode, health.stderr) == (0, "")
    for token in ("s3cr\né", "s3cr\x01é"):
        health = run_program(folder, "health", **{**settings, "http_token": token})
        assert health.returncode != 0
        assert "http_token: must be one line" in health.stderr
        assert "s3cr" not in health.stderr + health.stdout
    assert started.end() == 0


def test_no_service_exits_with_3_and_says_where_it_looked(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    for command in ("health", "metrics"):
        assert run_here(command, "--url", url) == 3
        assert f"no service answers at {url}" in capsys.readouterr().err


def test_what_is_no_service_is_reported(folder: Path, redis_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here("health", "--url", "ftp://x") == 2
    assert run_here("health", "--live", "--ready") == 2
    assert (
        run_here("health", "--url", redis_url.replace("redis", "http").removesuffix("/0"), "--timeout", "1s") == 3
    )
    assert "Traceback" not in capsys.readouterr().err


# All of them


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example_and_json(capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert run_here(*command.split(), "-h") == 0
    shown = capsys.readouterr().out
    assert f"Example: auth-worker {command}" in shown
    assert "--json" in shown


def test_numbers_are_readable() -> None:
    shown = [duration(ms) for ms in (None, 0, 80, 1234, 59_999, 200_000, 7_500_000, 270_000_000)]
    assert shown == ["-", "0 ms", "80 ms", "1.2 s", "60.0 s", "3m20s", "2h05m", "3d03h"]
    assert [size(number) for number in (0, 999, 1500, 2_340_000)] == ["0 B", "999 B", "1.5 kB", "2.3 MB"]
    assert ago(None) == "-"
    assert moment(10**20) == str(10**20)
