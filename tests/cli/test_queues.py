"""``auth-worker queues``, ``pause``, ``resume``, ``drain`` and ``clean``."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
import redis

from auth_worker.brokers.embedded.broker import EmbeddedBroker
from support.command_line import Run, Terminal, run_here, run_program
from support.embedded_users import server_pid
from support.prepared_queues import add, die
from support.processors import DEAD, QUEUE
from support.servers import free_port


def test_queues_are_shown_as_a_table(run: Run, redis_url: str) -> None:
    die(redis_url, 2)
    add(redis_url, 3)
    code, out, said = run("queues")
    assert code == 0
    head, work, dead = (line.split() for line in out.splitlines())
    assert head == [
        "QUEUE",
        "STATE",
        "WAIT",
        "OLDEST",
        "ACTIVE",
        "DELAYED",
        "FAILED",
        "DEAD",
        "DONE/MIN",
        "WORKERS",
    ]
    assert work[:3] == [QUEUE, "run", "3"]
    assert work[-5:] == ["0", "2", "2", "0", "none"]
    assert dead[:4] == [DEAD, "dead", "letters", "2"]
    assert "2 queues · 3 waiting · 0 active" in said


def test_queues_are_shown_as_json(run: Run, redis_url: str) -> None:
    add(redis_url, 1, priority=4)
    code, out, _ = run("queues", QUEUE, "--json")
    (queue,) = map(json.loads, out.splitlines())
    assert code == 0
    assert (queue["name"], queue["waiting"], queue["counts"]["prioritized"], queue["paused"]) == (
        QUEUE,
        1,
        1,
        False,
    )
    code, _, said = run("queues", "other")
    assert (code, said) == (1, f"error: there is no queue 'other' under the prefix 'bull'; there are: {QUEUE}\n")


def test_no_queues_is_no_error(run: Run, client: redis.Redis) -> None:
    code, out, said = run("queues")
    assert (code, out) == (0, "")
    assert said.startswith("No queues under the prefix bull of redis://127.0.0.1")


def test_watching_refreshes_until_it_is_told_to_stop(folder: Path, redis_url: str) -> None:
    add(redis_url, 1)
    with Terminal(folder, "queues", "--watch", "-i", 0.2, "--redis", redis_url) as terminal:
        terminal.shows(QUEUE)
        add(redis_url, 1, "other")
        terminal.shows(" 2 ")
        assert terminal.end(signal.SIGINT) == 130
        assert "Traceback" not in terminal.screen


def test_a_change_is_logged_with_who_made_it_but_not_to_a_terminal(
    run: Run, folder: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "ada")
    ids = add(redis_url, 3)
    for arguments, action, count in (
        (("pause", QUEUE), "pause", 1),
        (("remove", QUEUE, *ids[:2], "-y"), "remove", 2),
        (("drain", QUEUE, "-y"), "drain", 1),
    ):
        line = json.loads(run(*arguments)[2])
        told = {name: line[name] for name in ("event", "who", "action", "queue", "count", "result")}
        assert told == {
            "event": "Changed by an operator",
            "who": "ada",
            "action": action,
            "queue": QUEUE,
            "count": count,
            "result": "done",
        }
    with Terminal(folder, "resume", QUEUE, "--redis", redis_url) as terminal:
        terminal.shows("resumed")
        assert "Changed by an operator" not in terminal.screen


def test_a_queue_is_paused_and_resumed(run: Run, client: redis.Redis, redis_url: str) -> None:
    add(redis_url, 2)
    assert run("pause", QUEUE)[:2] == (0, f"{QUEUE} paused: 2 waiting, 0 active\n")
    assert client.hget(f"bull:{QUEUE}:meta", "paused") == "1"
    assert "PAUSED" in run("queues")[1]
    code, out, _ = run("resume", QUEUE, "--json")
    assert (code, json.loads(out)["paused"]) == (0, False)
    assert client.hget(f"bull:{QUEUE}:meta", "paused") is None
    assert run("pause", "other")[0] == 1
    assert run("pause", "bad:name")[0] == 2


def test_draining_asks_for_confirmation_and_says_how_many(run: Run, client: redis.Redis, redis_url: str) -> None:
    add(redis_url, 120)
    add(redis_url, 2, delay=60_000)
    assert run("drain", QUEUE, "--dry-run")[1] == "would remove 120 jobs\n"
    assert run("drain", QUEUE, "--dry-run", "--delayed", "--json")[1] == '{"dryRun": true, "total": 122}\n'
    code, _, said = run("drain", QUEUE)
    assert code == 2
    assert "Give --yes" in said
    assert client.llen(f"bull:{QUEUE}:wait") == 120
    assert run("drain", QUEUE, "--yes")[:2] == (0, "removed 120 jobs\n")
    assert run("drain", QUEUE, "--yes", "--delayed")[:2] == (0, "removed 2 jobs\n")
    assert run("drain", QUEUE)[:2] == (0, "removed 0 jobs\n"), "nothing to ask about"


def test_finished_jobs_are_cleaned_by_age(run: Run, client: redis.Redis, redis_url: str) -> None:
    ids = die(redis_url, 3)
    client.zadd(f"bull:{QUEUE}:failed", {ids[0]: time.time() * 1000 - 7_200_000})
    assert run("clean", QUEUE, "--state", "failed", "--older", "1h", "--dry-run")[1] == "would remove 1 job\n"
    assert run("clean", QUEUE, "--state", "failed", "--older", "1h", "-y")[1] == "removed 1 job\n"
    assert client.zcard(f"bull:{QUEUE}:failed") == 2
    assert run("clean", QUEUE, "--state", "wait", "--older", "1h", "-y")[0] == 2
    assert run("clean", QUEUE, "--older", "long", "-y")[0] == 2


def test_no_broker_exits_with_4(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (("queues",), ("jobs", QUEUE), ("dead", "list"), ("doctor",)):
        assert run_here(*arguments, "--redis", f"redis://127.0.0.1:{free_port()}", "--timeout", "300ms") == 4
        said = capsys.readouterr().err
        assert said.startswith("error: cannot connect to redis://127.0.0.1")
        assert said.count("\n") == 1


@pytest.mark.parametrize("command", ["queues", "doctor"])
def test_an_embedded_broker_that_is_frozen_exits_with_4_once_the_time_is_over(folder: Path, command: str) -> None:
    with EmbeddedBroker(folder / "state") as broker:
        server = server_pid(broker.url)
        os.kill(server, signal.SIGSTOP)
        began = time.monotonic()
        try:
            done = run_program(folder, command, "--timeout", "200ms", state_dir="state")
        finally:
            os.kill(server, signal.SIGCONT)
    assert done.returncode == 4, done.stderr
    assert "was not ready within 0.2 s" in done.stderr
    assert time.monotonic() - began < 15, "half of what the broker has without --timeout"
