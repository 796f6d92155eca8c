"""Observers cannot change an outcome: whatever becomes of the log, the jobs are worked as ever."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from chaos.stage import Stage

WORKS: tuple[dict[str, Any], ...] = (
    *({"s": 0.001} for _ in range(200)),
    *({"do": "die"} for _ in range(20)),
    {"do": "fail", "times": 1},
)


@pytest.mark.parametrize("log", [None, "/dev/full"], ids=["broken pipe", "full disk"])
async def test_observers_cannot_change_an_outcome(stage: Stage, log: str | None) -> None:
    """Neither stdout nor stderr can be written to, by the service or by the consumer, which logs too."""
    worker = await stage.crew.hire(log=log)
    await stage.add(*WORKS)
    assert await stage.verdict() == []
    assert len(stage.ledger.runs()) == len(WORKS) + 1
    worker.signal(signal.SIGTERM)
    assert await worker.gone() == 0


async def test_observers_cannot_change_an_outcome_when_nobody_reads_the_log(stage: Stage, tmp_path: Path) -> None:
    """The log is a pipe that is full after some lines, so that writing to it blocks for ever."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        worker = await stage.crew.hire(log=str(pipe))
        await stage.add(*WORKS * 5)
        assert await stage.verdict() == []
        assert len(stage.ledger.runs()) == 5 * (len(WORKS) + 1)
        worker.signal(signal.SIGTERM)
        assert await worker.gone() == 0
    finally:
        os.close(reader)


async def test_the_lines_of_a_consumer_come_out_with_their_job(stage: Stage) -> None:
    worker = await stage.crew.hire()
    ids = await stage.add(*WORKS)
    assert await stage.verdict() == []
    worker.signal(signal.SIGTERM)
    assert await worker.gone() == 0
    lines = [json.loads(line) for line in stage.log.read_text().splitlines()]
    of_consumer = [line for line in lines if line.get("logger") == "chaos.consumer"]
    assert {line["job_id"] for line in of_consumer} == set(ids)
    assert len(of_consumer) == len(stage.ledger.runs())
