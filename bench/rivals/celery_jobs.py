"""The job for Celery, with its defaults and no results."""

from __future__ import annotations

import sys

from celery import Celery

from bench.rivals.jobs import broker_url, work

app = Celery("bench", broker=broker_url(), task_ignore_result=True)
job = app.task(work, name="work")

if __name__ == "__main__":
    for _ in range(int(sys.argv[2])):
        job.delay(int(sys.argv[1]))
