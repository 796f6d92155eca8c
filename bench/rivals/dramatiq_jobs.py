"""The job for dramatiq, with its defaults."""

from __future__ import annotations

import sys

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from bench.rivals.jobs import broker_url, work

dramatiq.set_broker(RedisBroker(url=broker_url()))
job = dramatiq.actor(work)

if __name__ == "__main__":
    for _ in range(int(sys.argv[2])):
        job.send(int(sys.argv[1]))
