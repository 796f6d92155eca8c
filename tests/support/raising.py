"""What a call raises, to look at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def raised(call: Callable[[], Any]) -> BaseException:
    """Return what ``call`` raises."""
    try:
        call()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")
