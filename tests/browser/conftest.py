"""What the tests with a browser need: its driver, and the checks of accessibility that the screens must pass."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from support.needed import skip_or_fail

AXE = Path(__file__).parents[1] / "interop" / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture(scope="session", autouse=True)
def _chromedriver() -> None:
    if shutil.which("chromedriver") is None:
        skip_or_fail("the browser tests need chromedriver on the PATH", "apt-get install chromium-driver")


@pytest.fixture(scope="session")
def axe() -> str:
    """The script of axe-core, as ``make interop`` has installed it."""
    if not AXE.exists():
        skip_or_fail("the browser tests need axe-core", "run `make interop`")
    return AXE.read_text()
