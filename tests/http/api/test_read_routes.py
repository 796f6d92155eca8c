"""The command line and the API tell the same of the same things."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from support.command_line import run_program
from support.http_requests import Api
from support.processors import DEAD, QUEUE, Harness, eventually

PASSING = {"idleS", "connectedS", "oldestWaitingMs", "address"}
"""What is another thing a moment later."""


def still(value: Any) -> Any:
    """``value`` without what passes."""
    if isinstance(value, dict):
        return {name: still(part) for name, part in value.items() if name not in PASSING}
    return [still(part) for part in value] if isinstance(value, list) else value


async def told(folder: Path, url: str, *arguments: str) -> list[Any]:
    """The lines of JSON that a command prints."""
    ended = await asyncio.to_thread(run_program, folder, *arguments, "--json", "--redis", url)
    assert ended.returncode == 0, ended.stderr
    return [still(json.loads(line)) for line in ended.stdout.splitlines()]


@pytest.mark.timeout(120)
async def test_the_command_line_and_the_api_answer_alike(api: Api, harness: Harness, tmp_path: Path) -> None:
    await harness.jobs.add("bad", {"secret": "hunter2"}, job_id="bad-1")
    await harness.jobs.add("late", {"user": {"id": 1}}, job_id="late-1", delay=600_000)

    async def died() -> Any:
        return (await api.get(f"/dead-letters/{DEAD}")).json.get("letters")

    (letter,) = await eventually(died, "the job is dead")
    for arguments, path, part in (
        (("queues",), "/queues", "queues"),
        (("queues", QUEUE), f"/queues/{QUEUE}", None),
        (("workers",), "/workers", None),
        (("jobs", QUEUE, "--state", "delayed"), f"/queues/{QUEUE}/jobs?state=delayed", "jobs"),
        (("job", QUEUE, "bad-1"), f"/queues/{QUEUE}/jobs/bad-1", None),
        (("dead", "show", letter["id"]), f"/dead-letters/{DEAD}/{letter['id']}", None),
    ):
        answer = still((await api.get(path)).json)
        shown = answer[part] if part else answer
        assert await told(tmp_path, harness.url, *arguments) == (shown if isinstance(shown, list) else [shown]), (
            path
        )
