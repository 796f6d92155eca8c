"""Operations on a server of the tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from auth_worker.admin.models import Change
from auth_worker.admin.operations import Operations
from auth_worker.brokers.opening import operator_broker


def operations_on(
    connection: Any,
    prefix: str = "bull",
    *,
    record: Callable[[Change], None] = lambda change: None,
) -> Operations:
    """An operator on ``connection``, to be started."""
    return Operations(operator_broker(connection, prefix), record=record)
