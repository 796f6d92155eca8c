"""The ids a producer makes."""

from __future__ import annotations

from auth_worker.broker.link import Link
from auth_worker.broker.producer import Producer


async def no_link() -> Link:
    raise AssertionError("nothing connects here")


async def test_ids_differ_between_connections_and_jobs() -> None:
    ids = [producer.new_id() for producer in (Producer(no_link), Producer(no_link)) for _ in range(3)]
    assert len(set(ids)) == 6
