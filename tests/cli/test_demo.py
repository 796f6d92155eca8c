"""``auth-worker demo``: everything it shows is true, and nothing is left of it."""

from __future__ import annotations

import asyncio
import io
import json
import re
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from auth_worker.cli.demo import environment, tables
from auth_worker.cli.demo.checks import Check
from auth_worker.cli.demo.jobs import make_plan
from auth_worker.cli.demo.run_demo import run_demo
from auth_worker.consumers.email import create_email_job_consumer
from support.command_line import Terminal, magic_link, run_program
from support.http_requests import ask

TABLES = ("Health", "Metrics", "Delivered", "Dead letters", "Does it add up?")


@pytest.fixture
def temporary(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the demo makes its folder."""
    path = folder / "tmp"
    path.mkdir()
    monkeypatch.setenv("TMPDIR", str(path))
    monkeypatch.setattr("tempfile.tempdir", str(path))
    return path


def test_it_ends_by_itself_with_0_shows_its_tables_and_leaves_nothing_behind(
    folder: Path, temporary: Path
) -> None:
    started = time.monotonic()
    ended = run_program(folder, "demo")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert time.monotonic() - started < 30
    assert all(table in ended.stdout for table in TABLES)
    assert "It adds up: 205 e-mails delivered, none twice; 6 dead letters; nothing lost." in ended.stdout
    assert ended.stderr == ""
    assert list(temporary.iterdir()) == []
    assert "\x1b" not in ended.stdout
    assert max(map(len, ended.stdout.splitlines())) <= 80


def test_serving_it_takes_jobs_from_other_terminals_and_shows_their_mails(folder: Path, temporary: Path) -> None:
    with Terminal(folder, "demo", "--serve") as terminal:
        terminal.shows("Add a job from another terminal")
        terminal.shows("--data")
        (dashboard,) = re.findall(r"http://127\.0\.0\.1:(\d+)/", terminal.screen)
        assert "emailQueue has 6 dead letters" in ask(int(dashboard), "/").text
        state = re.findall(r"--state-dir (\S+)", terminal.screen)[-1]
        data = json.dumps(magic_link("new@example.com"))
        added = run_program(
            folder, "add", "emailQueue", "sendMagicLinkEmail", "--state-dir", state, "--data", data
        )
        assert added.returncode == 0, added.stderr
        assert added.stderr == ""
        terminal.shows("new@example.com  Sign in to Acme")
        assert terminal.end(signal.SIGINT) == 0
    assert list(temporary.iterdir()) == []


def test_interrupted_it_cleans_up_and_exits_with_130(folder: Path, temporary: Path) -> None:
    with Terminal(folder, "demo") as terminal:
        terminal.shows("mail server")
        assert terminal.end(signal.SIGTERM) == 130
    assert list(temporary.iterdir()) == []


def test_a_mail_delivered_twice_and_one_not_at_all_do_not_add_up(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A consumer that lies: it sends the first mail again in the place of the second."""

    def lying(*arguments: object, **options: object) -> object:
        consume = create_email_job_consumer(*arguments, **options)  # type: ignore[arg-type]
        jobs = []

        async def consumer(job: object) -> object:
            jobs.append(job)
            return await consume(jobs[0] if len(jobs) == 2 else job)  # type: ignore[arg-type]

        return consumer

    monkeypatch.setattr(environment, "create_email_job_consumer", lying)
    console = Console(file=io.StringIO(), width=100)
    assert asyncio.run(run_demo(console)) == 1
    assert isinstance(console.file, io.StringIO)
    screen = console.file.getvalue()
    assert "It does not add up" in screen
    assert "delivered twice: planned 0, but the mail server says 1" in screen
    (kept,) = temporary.iterdir()
    assert str(kept) in screen.replace("\n", "")
    assert "E-mail sent" in (kept / "demo.log").read_text()


def test_a_number_that_differs_anywhere_is_named_with_its_place() -> None:
    check = Check("dead letters", planned=6, service=6, broker=5, mail_server=None)
    assert not check.holds
    assert str(check) == "dead letters: planned 6, but the broker says 5"
    console = Console(file=io.StringIO(), width=100)
    console.print(tables.verdict([check]))
    assert isinstance(console.file, io.StringIO)
    assert str(check) in console.file.getvalue()


def test_the_plan_has_every_type_in_both_languages_and_every_way_to_fail() -> None:
    plan = make_plan()
    good = [job for job in plan.jobs if job.failure is None and not job.deferrals]
    kinds = Counter((job.name, job.data["data"]["locale"]) for job in good)
    assert len(kinds) == 8
    assert kinds.total() == 200
    fates = {"unrecoverable", "exhausted", "unknown_job_type", "invalid_payload", "expired"}
    assert set(plan.dead_letters) == fates
