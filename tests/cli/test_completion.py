"""The shell completes the names of queues, and never complains."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.command_line import run_here, run_program
from support.servers import free_port


def completed(folder: Path, line: str, **settings: str) -> list[str]:
    """What bash would offer for the last word of ``line``."""
    words = line.split(" ")
    os.environ.update(_AUTH_WORKER_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1))
    ended = run_program(folder, **settings)
    assert ended.stderr == ""
    return ended.stdout.split()


@pytest.mark.parametrize("command", ["pause", "queues", "workers", "add", "jobs", "dead list --queue"])
def test_the_names_of_queues_are_offered(folder: Path, redis_url: str, command: str) -> None:
    for queue in ("mailQueue", "mailDead", "smsQueue"):
        assert run_here("add", queue, "job", "--redis", redis_url) == 0
    assert sorted(completed(folder, f"auth-worker {command} mail", redis_url=redis_url)) == [
        "mailDead",
        "mailQueue",
    ]


@pytest.mark.parametrize("url", ["redis://127.0.0.1:{}", "no url at all"])
def test_without_a_redis_nothing_is_offered_and_nothing_said(folder: Path, url: str) -> None:
    assert completed(folder, "auth-worker pause m", redis_url=url.format(free_port())) == []


def test_a_name_that_a_shell_could_run_is_not_offered(folder: Path, redis_url: str) -> None:
    hostile = (
        "mail$(touch x)",
        "mail`id`",
        "mail;id",
        "mail|id",
        "mail x",
        "mail'",
        'mail"',
        "mail&",
        "mail*",
        "mail~",
    )
    for queue in (*hostile, "mail.Queue-1"):
        assert run_here("add", queue, "job", "--redis", redis_url) == 0
    assert completed(folder, "auth-worker pause mail", redis_url=redis_url) == ["mail.Queue-1"]
