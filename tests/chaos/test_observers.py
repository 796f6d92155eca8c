"""Observers cannot change an outcome: whatever becomes of the log, the jobs are worked as ever."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from chaos.harness import ChaosHarness

WORKS: tuple[dict[str, Any], ...] = (
    *({"s": 0.001} for _ in range(200)),
    *({"do": "die"} for _ in range(20)),
    {"do": "fail", "times": 1},
)


@pytest.mark.parametrize("log", [None, "/dev/full"], ids=["broken pipe", "full disk"])
async def test_observers_cannot_change_an_outcome(harness: ChaosHarness, log: str | None) -> None:
    """Neither stdout nor stderr can be written to, by the service or by the consumer, which logs too."""
    worker = await harness.workers.start(log=log)
    await harness.add(*WORKS)
    assert await harness.verdict() == []
    assert len(harness.run_log.runs()) == len(WORKS) + 1
    worker.signal(signal.SIGTERM)
    assert await worker.gone() == 0


async def test_observers_cannot_change_an_outcome_when_nobody_reads_the_log(
    harness: ChaosHarness, tmp_path: Path
) -> None:
    """The log is a pipe that is full after some lines, so that writing to it blocks for ever."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        worker = await harness.workers.start(log=str(pipe))
        await harness.add(*WORKS * 5)
        assert await harness.verdict() == []
        assert len(harness.run_log.runs()) == 5 * (len(WORKS) + 1)
        worker.signal(signal.SIGTERM)
        assert await worker.gone() == 0
    finally:
        os.close(reader)


async def test_the_lines_of_a_consumer_come_out_with_their_job(harness: ChaosHarness) -> None:
    worker = await harness.workers.start()
    ids = await harness.add(*WORKS)
    assert await harness.verdict() == []
    worker.signal(signal.SIGTERM)
    assert await worker.gone() == 0
    lines = [json.loads(line) for line in harness.log.read_text().splitlines()]
    of_consumer = [line for line in lines if line.get("logger") == "chaos.consumer"]
    assert {line["job_id"] for line in of_consumer} == set(ids)
    assert len(of_consumer) == len(harness.run_log.runs())
