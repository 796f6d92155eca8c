"""What a test needs and a machine may lack."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def skip_or_fail(missing: str, remedy: str) -> NoReturn:
    """Skip the test, which lacks what ``missing`` says, as the end of the run will tell, with the ``remedy``.

    In CI fail it, since nothing may be missing there.
    """
    reason = f"{missing}: {remedy}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
