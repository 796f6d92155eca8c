"""The checks of accessibility that the screens must pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.needed import skip_or_fail

AXE = Path(__file__).parents[1] / "interop" / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture(scope="session")
def axe() -> str:
    """The script of axe-core, as ``make interop`` has installed it."""
    if not AXE.exists():
        skip_or_fail("the browser tests need axe-core", "run `make interop`")
    return AXE.read_text()
