"""What a test needs and a machine may lack."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def skip_or_fail(missing: str) -> NoReturn:
    """Skip the test, which lacks what ``missing`` says; in CI fail it, since nothing may be missing there."""
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)
