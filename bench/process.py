"""A contender's process, seen from the benchmark: started, asked by JSON lines, measured, ended."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[1]
START_TIMEOUT = 60.0
STOP_TIMEOUT = 15.0


class ContenderError(Exception):
    """A contender died, was silent too long, or lost or doubled jobs: that is no number."""


class Child:
    """A process that answers JSON lines, as a context manager. What it logs goes to ``log``, a file."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self._command = command
        self._log = log

    def __enter__(self) -> Self:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("AUTH_WORKER_")}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                env=clean,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()
        try:
            self.wait_for("ready", START_TIMEOUT)
        except BaseException:
            self._process.kill()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc_info: object) -> None:
        try:
            if kind is None:
                self.ask("stop", STOP_TIMEOUT)
        finally:
            if self._process.stdin is not None:
                self._process.stdin.close()
            try:
                self._process.wait(STOP_TIMEOUT if kind is None else 0.5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def ask(self, op: str, timeout: float = 60, **arguments: Any) -> dict[str, Any]:
        """Have it do something, and give what it answers. Raises ``ContenderError``."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"op": op, **arguments}).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            raise ContenderError(f"it is gone: {self._last_words()}") from None
        return self.wait_for(op, timeout)

    def wait_for(self, event: str, timeout: float) -> dict[str, Any]:
        """Wait up to ``timeout`` s for it to say ``event``. Raises ``ContenderError``."""
        try:
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            raise ContenderError(f"no {event!r} within {timeout:g} s: {self._last_words()}") from None
        said: dict[str, Any] = json.loads(line) if line else {}
        if said.get("event") != event:
            raise ContenderError(f"{said or 'it ended'} instead of {event!r}: {self._last_words()}")
        return said

    def rss_bytes(self) -> int:
        """How much memory it holds."""
        status = Path(f"/proc/{self._process.pid}/status")
        if status.exists():
            line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS:"))
            return int(line.split()[1]) * 1024
        pid = str(self._process.pid)
        return int(subprocess.check_output(["ps", "-o", "rss=", "-p", pid], text=True)) * 1024

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(b"")

    def _last_words(self) -> str:
        return self._log.read_text(errors="replace")[-1500:].strip() or "it said nothing"
