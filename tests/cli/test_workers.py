"""``auth-worker workers``: connections, and what heartbeats say."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from support.command_line import Run, Worker, magic_link, run_program
from support.polling import wait_until
from support.prepared_queues import add
from support.processors import QUEUE
from support.servers import free_port

ROW = re.compile(r"emailQueue +pod-7 +running +0/\d+ +[\d.]+ m?s +[\d.]+ ms +[\d.]+ MB ")


def test_a_running_worker_is_seen(folder: Path, worker: Callable[..., Worker]) -> None:
    """In processes of their own, on the embedded broker that all of a state directory share."""
    settings = {"state_dir": "state", "http_port": str(free_port())}
    worker("--name", "pod-7", **settings)
    added = run_program(
        folder, "add", "emailQueue", "x", "--data", json.dumps(magic_link("ada@acme.example")), **settings
    )
    assert added.returncode == 0
    done = run_program(folder, "workers", "--json", **settings)
    assert [json.loads(line)["name"] for line in done.stdout.splitlines()] == ["pod-7"]
    wait_until(
        lambda: ROW.search(run_program(folder, "workers", "emailQueue", **settings).stdout),
        "no heartbeat is shown",
        20,
    )
    unknown = run_program(folder, "workers", "nope", **settings)
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "there is no queue 'nope' under the prefix 'bull'; there are: emailQueue" in unknown.stderr


def test_a_queue_that_nobody_works_on_is_no_error(run: Run, redis_url: str) -> None:
    add(redis_url)
    assert run("workers", QUEUE) == (0, "", "No workers are connected.\n")
