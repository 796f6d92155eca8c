"""The job ids that a sender makes."""

from __future__ import annotations

from auth_worker.brokers.redis.job_sender import JobSender
from auth_worker.brokers.redis.wire.link import Link


async def no_link() -> Link:
    raise AssertionError("nothing connects here")


async def test_ids_differ_between_connections_and_jobs() -> None:
    ids = [sender.new_id() for sender in (JobSender(no_link, 1), JobSender(no_link, 1)) for _ in range(3)]
    assert len(set(ids)) == 6
