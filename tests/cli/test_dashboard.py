"""``auth-worker dashboard``: the pages without a worker, from the flag to the signal."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import redis

from support.command_line import Run, Terminal, run_program
from support.dashboard_visitor import Visitor
from support.http_requests import ask


def port_of(terminal: Terminal) -> int:
    """The port in the address that is shown."""
    found = re.search(r"Dashboard: http://127\.0\.0\.1:(\d+)/", terminal.screen)
    assert found, terminal.screen
    return int(found[1])


async def test_it_serves_the_pages_of_a_broker_until_it_is_told_to_stop(
    folder: Path, client: redis.Redis, redis_url: str
) -> None:
    client.hset("bull:work:meta", "opts.maxLenEvents", "10000")
    client.rpush("bull:work:wait", "1")
    flags = ("--redis", redis_url, "--http-port", 0, "--base-path", "/jobs/")
    with Terminal(folder, "dashboard", *flags, http_token="the token", log_format="json") as terminal:
        terminal.shows("Dashboard:")
        terminal.shows("/jobs/\n")
        port = port_of(terminal)
        visitor = Visitor(port, "/jobs/")
        await visitor.log_in("the token")
        page = await visitor.get()
        assert "No worker on work with 1 waiting" in page.text
        form = (await visitor.get("queue", queue="work")).form("change-queue", "pause")
        await visitor.send(form, ("action", "pause"))
        assert client.hexists("bull:work:meta", "paused")
        terminal.shows("Changed by an operator")
        assert terminal.end(signal.SIGTERM) == 0


def test_without_a_broker_it_serves_the_embedded_one(folder: Path) -> None:
    with Terminal(folder, "dashboard", "--http-port", 0, "--state-dir", folder / "state") as terminal:
        terminal.shows("Dashboard: http://127.0.0.1:")
        terminal.shows("/\n")
        page = ask(port_of(terminal), "/")
        assert page.status == 200
        assert "There is no queue under the prefix yet." in page.text
        assert terminal.end(signal.SIGINT) == 0


def test_invalid_arguments_are_refused(folder: Path, run: Run) -> None:
    code, _, said = run("dashboard", "--base-path", "jobs")
    assert code == 2
    assert "--base-path is a path such as /jobs" in said
    code, _, said = run("dashboard", "--http-host", "0.0.0.0", "--http-port", "0")
    assert code == 1
    assert "set http_token" in said
    ended = run_program(folder, "dashboard", "--http-port", "none", "--redis", "redis://127.0.0.1:1")
    assert ended.returncode == 1
    assert "needs an HTTP port" in ended.stderr
