"""The checks of accessibility that the screens must pass."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

AXE = Path(__file__).parents[1] / "interop" / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture(scope="session")
def axe() -> str:
    """The script of axe-core, as ``make interop`` has installed it."""
    if not AXE.exists() and "CI" not in os.environ:
        pytest.skip("needs axe-core: run make interop")
    return AXE.read_text()
