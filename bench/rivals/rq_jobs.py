"""The job for RQ, with its defaults: each job in a process that is forked for it."""

from __future__ import annotations

import sys

from redis import Redis
from rq import Queue

from bench.rivals.jobs import broker_url, work

if __name__ == "__main__":
    queue = Queue(connection=Redis.from_url(broker_url()))
    sleep_ms, count = map(int, sys.argv[1:])
    for first in range(0, count, 1000):
        queue.enqueue_many([Queue.prepare_data(work, (sleep_ms,)) for _ in range(min(1000, count - first))])
