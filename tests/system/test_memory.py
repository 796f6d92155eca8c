"""How much memory a process holds now, not what it or its parent has held."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from auth_worker.system import memory
from auth_worker.system.memory import resident_bytes

MB = 2**20
TELL = "from auth_worker.system.memory import resident_bytes; print(resident_bytes())"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
def test_a_process_holds_nothing_of_its_parents() -> None:
    """``ru_maxrss`` begins with the parent's peak: exec(2) keeps it."""
    held = bytearray(200 * MB)
    child = subprocess.run([sys.executable, "-c", TELL], capture_output=True, timeout=30, check=True)
    own = resident_bytes()
    assert own is not None
    assert own > len(held)
    assert int(child.stdout) < 100 * MB


def test_it_is_not_known_where_there_is_no_proc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "_STATM", tmp_path / "missing")
    assert resident_bytes() is None
