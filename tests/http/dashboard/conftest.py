"""A service with a dashboard, and people who look at it."""

from __future__ import annotations

import pytest

from auth_worker import WorkerService
from support.admin_api import ADMIN, READER, api, paused_api, port, service
from support.dashboard_visitor import Visitor

__all__ = ["admin", "api", "paused_api", "port", "reader", "service"]


@pytest.fixture
async def admin(service: WorkerService) -> Visitor:
    """Somebody logged in who may change things."""
    visitor = Visitor(service.http_port)
    assert (await visitor.log_in(ADMIN)).status == 303
    return visitor


@pytest.fixture
async def reader(service: WorkerService) -> Visitor:
    """Somebody logged in who may only look."""
    visitor = Visitor(service.http_port)
    assert (await visitor.log_in(READER)).status == 303
    return visitor
