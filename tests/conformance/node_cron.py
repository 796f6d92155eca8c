"""Asks Node BullMQ when patterns fire next."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def ms(moment: str) -> int:
    return int(datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp() * 1000)


def iso_time(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat()


def ask_node(cases: list[tuple[str, dict[str, Any]]]) -> list[Any]:
    """Node's answers: epoch ms, None or {error}."""
    script = Path(__file__).with_name("cron.mjs")
    asked = json.dumps([[ms(moment), repeat] for moment, repeat in cases])
    done = subprocess.run(
        ["node", str(script)], input=asked, capture_output=True, text=True, check=True, timeout=60
    )
    return list(json.loads(done.stdout))
