"""For an unknown choice, the command names the known ones and the nearest."""

from __future__ import annotations

import re

import pytest

from support.command_line import Run
from support.prepared_queues import add, die
from support.processors import DEAD, QUEUE


def plain(said: str) -> str:
    """Return the text in the frame of a usage error, on one line."""
    return " ".join(re.sub("[│╭╮╰╯─]", " ", said).split())


@pytest.mark.parametrize(
    ("arguments", "nearest"),
    [
        (("dead", "list", "--reason", "exhasted"), "exhausted"),
        (("dead", "redrive", "--reason", "unrecoverabel"), "unrecoverable"),
        (("dead", "purge", "--reason", "Stalled"), "stalled"),
        (("jobs", QUEUE, "--state", "faild"), "failed"),
        (("retry", QUEUE, "--all", "--state", "complete"), "completed"),
        (("remove", QUEUE, "--all", "--state", "delay"), "delayed"),
        (("clean", QUEUE, "--older", "1h", "--state", "complet"), "completed"),
    ],
)
def test_the_nearest_state_or_reason_is_named(run: Run, arguments: tuple[str, ...], nearest: str) -> None:
    code, out, said = run(*arguments)
    assert (code, out) == (2, "")
    assert f"'{arguments[-1]}' is no " in plain(said)
    assert f"; did you mean {nearest}?" in plain(said)


def test_a_word_that_resembles_none_gets_the_list_alone(run: Run) -> None:
    said = plain(run("dead", "list", "--reason", "xyzzy")[2])
    assert "there are exhausted, unrecoverable, stalled" in said
    assert "did you mean" not in said


@pytest.mark.parametrize(("said", "meant"), [("waiting", "wait"), ("dead", "failed")])
def test_common_names_of_states_are_understood(run: Run, redis_url: str, said: str, meant: str) -> None:
    die(redis_url)
    add(redis_url)
    assert (
        run("jobs", QUEUE, "--state", said, "--json")[1] == run("jobs", QUEUE, "--state", meant, "--json")[1] != ""
    )


def test_workers_of_a_prefix_without_queues_name_the_nearest_that_has(run: Run, redis_url: str) -> None:
    add(redis_url)
    code, out, said = run("workers", "--prefix", "bul")
    assert (code, out) == (1, "")
    assert "there is no queue under the prefix 'bul'; there are under bull; did you mean bull?" in said
    assert run("workers")[0] == 0


@pytest.mark.parametrize("command", [("list",), ("redrive", "--all"), ("purge", "--all", "-y")])
def test_a_queue_without_letters_names_those_that_have_some(
    run: Run, redis_url: str, command: tuple[str, ...]
) -> None:
    die(redis_url)
    code, _, said = run("dead", *command, "--queue", QUEUE)
    assert code == 0
    assert said.count(f"{QUEUE} holds no dead letters; those that do: {DEAD}") == 1
    assert "holds no dead letters" not in run("dead", *command, "--queue", DEAD)[2]


def test_a_letter_that_is_not_there_says_where_letters_are(run: Run, redis_url: str) -> None:
    die(redis_url)
    code, _, said = run("dead", "show", "x@1@1700000000000", "--queue", QUEUE)
    assert code == 1
    assert said.startswith(f"error: there is no dead letter x@1@1700000000000 in {QUEUE}; ")
    assert said.endswith(f"; {QUEUE} holds no dead letters; those that do: {DEAD}\n")


def test_if_no_queue_holds_dead_letters_the_message_says_so(run: Run, redis_url: str) -> None:
    add(redis_url)
    assert f"{QUEUE} holds no dead letters; no queue does" in run("dead", "list", "--queue", QUEUE)[2]


@pytest.mark.parametrize(
    "command",
    [
        ("jobs", "Q"),
        ("job", "Q", "1"),
        ("change", "Q", "1", "--priority", "1"),
        ("retry", "Q", "1"),
        ("schedulers", "list", "Q"),
        ("schedulers", "show", "Q", "nightly"),
        ("schedulers", "run", "Q", "nightly"),
        ("schedulers", "remove", "Q", "nightly", "--yes"),
    ],
)
def test_a_command_for_a_queue_that_is_not_there_names_the_nearest(
    run: Run, redis_url: str, command: tuple[str, ...]
) -> None:
    add(redis_url)
    misspelt = QUEUE[:-1] + "Q"
    code, out, said = run(*(misspelt if word == "Q" else word for word in command))
    assert (code, out) == (1, "")
    assert f"there is no queue '{misspelt}'" in said
    assert f"did you mean {QUEUE}?" in said
