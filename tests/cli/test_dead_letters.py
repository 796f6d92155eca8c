"""``auth-worker dead``: dead letters on the screen, redriven and purged."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import redis

from support.command_line import Run, run_here, run_program
from support.prepared_queues import SECRET, Typist, die
from support.processors import DEAD, QUEUE


def letters(run: Run, *arguments: object) -> list[dict[str, Any]]:
    code, out, said = run("dead", "list", "--json", *arguments)
    assert code == 0, said
    return [json.loads(line) for line in out.splitlines()]


def test_letters_are_listed_for_people_and_programs(run: Run, redis_url: str) -> None:
    ids = die(redis_url, 3)
    code, out, said = run("dead", "list", "-n", 2)
    assert code == 0
    assert out.splitlines()[0].split() == ["ID", "JOB", "CLASS", "REASON", "ATTEMPTS", "FAILED"]
    assert len(out.splitlines()) == 3
    assert f"2 of 3 in {DEAD}" in said
    assert SECRET not in out
    found = letters(run)
    assert {letter["jobId"] for letter in found} == set(ids)
    assert found[0]["deadLetterQueue"] == DEAD
    assert found[0]["reasonClass"] == "unrecoverable"


def test_no_letters_is_no_error(run: Run, redis_url: str) -> None:
    assert run("dead", "list") == (0, "", "No dead letters.\n")
    die(redis_url)
    assert "No dead letter matches." in run("dead", "list", "--error", "else")[2]


def test_filters_select_dead_letters(run: Run, redis_url: str) -> None:
    die(redis_url, 2, "mail")
    (chosen,) = die(redis_url, 1, "text")
    assert [letter["jobId"] for letter in letters(run, "--error", "text refused")] == [chosen]
    assert [letter["jobId"] for letter in letters(run, "--job", chosen)] == [chosen]
    for flags, count in (
        (["--reason", "unrecoverable"], 3),
        (["--reason", "stalled"], 0),
        (["--from", QUEUE], 3),
        (["--from", DEAD], 0),
        (["--older", "1h"], 0),
        (["--newer", "1h"], 3),
        (["--queue", DEAD], 3),
    ):
        assert len(letters(run, *flags)) == count, flags


@pytest.mark.parametrize(
    "command", [("list",), ("show", "x@1@1700000000000"), ("redrive", "--all"), ("purge", "--all")]
)
def test_an_unknown_dead_letter_queue_is_reported(run: Run, redis_url: str, command: tuple[str, ...]) -> None:
    die(redis_url)
    code, out, said = run("dead", *command, "-q", "nope")
    assert (code, out) == (1, "")
    error, _, names = said.rstrip().partition("; there are: ")
    assert error == "error: there is no queue 'nope' under the prefix 'bull'"
    assert set(names.split(", ")) == {QUEUE, DEAD}


def test_a_letter_is_shown_masked_unless_revealed(run: Run, redis_url: str) -> None:
    die(redis_url, data={"email": "ada@example.org"})
    letter_id = letters(run)[0]["id"]
    code, out, _ = run("dead", "show", letter_id)
    assert code == 0
    assert SECRET not in out
    assert '"email": "<text of 15>"' in out
    assert "UnrecoverableError" in out
    code, out, _ = run("dead", "show", letter_id, "--reveal", "--json")
    shown = json.loads(out)
    assert shown["data"] == {"n": 0, "email": "ada@example.org"}
    assert SECRET in shown["failedReason"]
    code, _, said = run("dead", "show", "nobody")
    assert (code, said) == (1, "error: there is no dead letter nobody\n")


def test_letters_are_redriven_by_id_by_filter_and_all(run: Run, client: redis.Redis, redis_url: str) -> None:
    die(redis_url, 4, "mail")
    die(redis_url, 2, "text")
    letter_id = letters(run, "--error", "mail")[0]["id"]
    assert run("dead", "redrive", letter_id)[:2] == (0, "redriven 1 dead letter\n")
    assert client.llen(f"bull:{QUEUE}:wait") == 1
    assert run("dead", "redrive", "--error", "text", "--dry-run")[:2] == (0, "would redrive 2 dead letters\n")
    assert run("dead", "redrive", "--error", "text")[:2] == (0, "redriven 2 dead letters\n")
    code, out, _ = run("dead", "redrive", "--all", "--json")
    assert (code, json.loads(out)) == (0, {"done": 3, "skipped": 0, "total": 3, "problems": []})
    assert client.llen(f"bull:{QUEUE}:wait") == 6
    code, _, said = run("dead", "redrive", letter_id)
    assert (code, said) == (1, f"error: there is no dead letter {letter_id}\n")


def test_what_is_skipped_is_reported_and_exits_with_1(run: Run, client: redis.Redis, redis_url: str) -> None:
    die(redis_url, 1)
    odd = "odd@one@1700000000000"
    client.hset(f"bull:{DEAD}:{odd}", mapping={"name": "n", "data": "{}", "timestamp": 1})
    client.rpush(f"bull:{DEAD}:wait", odd)
    code, out, said = run("dead", "redrive", "--all")
    assert (code, out) == (1, "redriven 1 dead letter\n")
    assert f"{odd}: job {odd} is not a dead letter" in said


def test_a_rate_is_kept(run: Run, redis_url: str) -> None:
    die(redis_url, 10)
    began = time.monotonic()
    assert run("dead", "redrive", "--all", "--rate", "20/s")[0] == 0
    assert time.monotonic() - began > 0.35
    code, _, said = run("dead", "redrive", "--all", "--rate", "fast")
    assert code == 2
    assert "is not a rate" in said


def test_purging_asks_for_confirmation(run: Run, client: redis.Redis, redis_url: str) -> None:
    die(redis_url, 5)
    code, _, said = run("dead", "purge", "--all")
    assert code == 2
    assert "Delete 5 dead letters? This cannot be undone. Give --yes" in said
    assert run("dead", "purge", "--all", "--dry-run")[1] == "would purge 5 dead letters\n"
    newest = letters(run)[0]["id"]
    assert run("dead", "purge", "--keep", 1, "-y")[:2] == (0, "purged 4 dead letters\n")
    assert [letter["id"] for letter in letters(run)] == [newest]
    assert run("dead", "purge", newest, "-y")[:2] == (0, "purged 1 dead letter\n")
    assert client.zcard(f"bull:{QUEUE}:failed") == 5
    assert run("dead", "purge", "--all")[:2] == (0, "purged 0 dead letters\n")


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        ((), "say which dead letters"),
        (("some", "--all"), "not both"),
        (("--reason", "bad luck"), "Invalid value"),
        (("--all", "--queue", "bad:name"), "must be 1 to 1000 characters"),
    ],
)
def test_dead_letters_must_be_selected(run: Run, arguments: tuple[str, ...], remedy: str) -> None:
    code, _, said = run("dead", "redrive", *arguments)
    assert code == 2
    assert remedy in said


def test_at_a_terminal_it_asks(folder: Path, redis_url: str, client: redis.Redis) -> None:
    die(redis_url, 2)
    with Typist(folder, "dead", "purge", "--all", "--redis", redis_url) as terminal:
        terminal.shows("Delete 2 dead letters? This cannot be undone. [y/N]")
        terminal.type("n\n")
        assert terminal.end() == 1
        assert "Nothing was done." in terminal.screen
    with Typist(folder, "dead", "purge", "--all", "--redis", redis_url) as terminal:
        terminal.shows("[y/N]")
        terminal.type("y\n")
        assert terminal.end() == 0
    assert client.llen(f"bull:{DEAD}:wait") == 0


def test_without_a_redis_the_embedded_broker_answers(folder: Path) -> None:
    done = run_program(folder, "dead", "list", state_dir="state")
    assert (done.returncode, done.stderr) == (0, "No dead letters.\n")


@pytest.mark.parametrize("command", ["list", "redrive", "purge"])
def test_letters_of_a_queue_there_is_not_are_an_error(run: Run, redis_url: str, command: str) -> None:
    die(redis_url, 1)
    code, _, said = run("dead", command, "--from", QUEUE[:-1])
    assert code == 1
    assert f"did you mean {QUEUE}?" in said


@pytest.mark.parametrize(
    "command",
    [("retry",), ("promote",), ("remove",), ("dead", "redrive"), ("dead", "purge"), ("dead", "list")],
)
def test_what_acts_on_many_takes_a_rate_and_conditions(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here(*command, "--help") == 0
    shown = capsys.readouterr().out
    wanted = {"--where", "--name"} | (set() if command[-1] == "list" else {"--rate"})
    assert [flag for flag in wanted if flag not in shown] == []
    assert r"\*" in shown


@pytest.mark.parametrize(
    "command",
    [("queues",), ("jobs", QUEUE), ("dead", "list"), ("dead", "redrive", "--all"), ("retry", QUEUE, "--all")],
)
def test_a_prefix_without_queues_names_the_nearest_that_has(
    run: Run, redis_url: str, command: tuple[str, ...]
) -> None:
    die(redis_url)
    code, _, said = run(*command, "--prefix", "bul")
    assert code == 1
    assert "there is no queue under the prefix 'bul'; there are under bull; did you mean bull?" in said


def test_a_queue_that_holds_no_letters_is_named_as_such(run: Run, redis_url: str) -> None:
    die(redis_url)
    code, _, said = run("dead", "list", "--queue", QUEUE)
    assert code == 0
    assert f"{QUEUE} holds no dead letters; those that do: {DEAD}" in said


def test_a_note_is_added_and_shown(run: Run, redis_url: str) -> None:
    die(redis_url)
    (letter,) = letters(run)
    assert run("dead", "note", letter["id"], "waits for ticket 4711")[0] == 0
    code, out, _ = run("dead", "show", letter["id"])
    assert (code, "waits for ticket 4711" in out) == (0, True)
    assert "a note has 1 to 1000 characters" in run("dead", "note", letter["id"], "")[2]
    assert run("dead", "note", "nobody@1@1770000000000", "x")[0] == 1
