"""The ids a producer makes."""

from __future__ import annotations

from typing import cast

from auth_worker.broker.link import Link
from auth_worker.broker.producer import Producer


def test_ids_differ_between_connections_and_jobs() -> None:
    ids = [each.new_id() for each in (Producer(cast(Link, None)), Producer(cast(Link, None))) for _ in range(3)]
    assert len(set(ids)) == 6
