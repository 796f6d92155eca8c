"""The server all tests share; a test that stops or freezes its server starts one of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from servers import Server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One server for the whole run. Leave it running, thawed and with its configuration unchanged."""
    with Server() as running:
        yield running


@pytest.fixture
def redis_url(server: Server) -> str:
    """The address of the shared server, emptied."""
    server.flush()
    return server.url
