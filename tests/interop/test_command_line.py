"""What ``auth-worker add`` puts in, a Node worker works off."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from interop.node_side import NodeSide
from support.command_line import run_program

DATA = {"type": "sendOtp", "data": {"text": "Grüße 🚀"}}


async def add(folder: Path, redis_url: str, *arguments: str) -> list[str]:
    """Run ``auth-worker add``; returns the ids it prints."""
    done = await asyncio.to_thread(run_program, folder, "add", *arguments, redis_url=redis_url)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


async def test_a_node_worker_runs_the_job_of_the_command_line_with_every_option(
    node: NodeSide, queue: str, redis_url: str, tmp_path: Path
) -> None:
    options = (
        "--delay 200ms --attempts 3 --backoff exponential:50ms:0.5 --priority 7 --job-id otp-42 "
        "--deduplication u-1 --remove-on-complete 10 --remove-on-fail 24h --keep-logs 5 --stack-trace-limit 2 "
        "--telemetry-metadata trace"
    )
    (job_id,) = await add(
        tmp_path, redis_url, queue, "sendOtp", "--data", json.dumps(DATA), *options.split(), "--lifo"
    )
    await node.start_worker(queue, {"throws": "once", "times": 1, "returns": "sent"})
    job = await node.finished(queue, job_id)
    assert (job_id, job["name"], job["data"]) == ("otp-42", "sendOtp", DATA)
    assert (job["returnvalue"], job["attemptsMade"], job["deduplicationId"]) == ("sent", 2, "u-1")
    first, _ = await node.runs(queue, 2)
    assert first["startedAt"] - first["timestamp"] >= 200
    expected = {
        "delay": 200,
        "attempts": 3,
        "backoff": {"type": "exponential", "delay": 50, "jitter": 0.5},
        "priority": 7,
        "lifo": True,
        "removeOnComplete": 10,
        "removeOnFail": {"age": 86400},
        "keepLogs": 5,
        "stackTraceLimit": 2,
        "telemetry": {"metadata": "trace"},
    }
    assert {name: job["opts"].get(name) for name in expected} == expected


async def test_a_node_worker_drains_the_json_lines_of_the_command_line(
    node: NodeSide, queue: str, redis_url: str, tmp_path: Path
) -> None:
    lines = [{"name": "sendOtp", "data": {"number": n}, "opts": {"attempts": n % 3 + 1}} for n in range(200)]
    (tmp_path / "jobs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    ids = await add(tmp_path, redis_url, queue, "--lines", "jobs.jsonl", "--remove-on-complete", "false")
    await node.start_worker(queue)
    runs = await node.runs(queue, 200)
    assert [run["id"] for run in runs] == ids
    assert [run["data"] for run in runs] == [line["data"] for line in lines]
    assert [run["opts"]["attempts"] for run in runs] == [n % 3 + 1 for n in range(200)]
