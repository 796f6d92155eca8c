"""A large installation as a dashboard meets it: a million jobs in a thousand queues.

A script writes the jobs in the server, as BullMQ would have stored them, since adding them takes many minutes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from redis import Redis

from auth_worker.admin.models import Change
from auth_worker.admin.operations import Operations
from auth_worker.brokers.opening import operator_broker
from auth_worker.config import Settings
from auth_worker.core.dead_letter import make_dead_letter
from auth_worker.core.history import SPANS, Bucket
from auth_worker.flow import Flow, FlowProducer
from auth_worker.queue import JobQueue
from bench.server import Server

WAITING, FAILED, COMPLETED, LETTERS = "orderQueue", "mailQueue", "reportQueue", "mailDeadLetter"
SCHEDULED = "nightlyQueue"
LARGE: Mapping[str, Mapping[str, int]] = {
    WAITING: {"wait": 700_000},
    FAILED: {"failed": 200_000},
    COMPLETED: {"completed": 50_000},
}
SMALL, LETTER_COUNT, CHANGES, SCHEDULERS, CHILDREN = 994, 5000, 2000, 200, 300
OF_SMALL = {"wait": 20, "delayed": 5, "completed": 15, "failed": 5}
BIG_STEP, LARGE_SPACING_MS, SMALL_SPACING_MS = 50_000, 50, 60_000
_STATES = ("wait", "delayed", "completed", "failed")
_FILL = """
local base, now, first, spacing = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
redis.call("HSET", base .. "meta", "opts.maxLenEvents", 10000, "version", "bullmq:5")
for index, state in ipairs({"wait", "delayed", "completed", "failed"}) do
  local count = tonumber(ARGV[4 + index])
  for step = 1, count do
    local id = string.format("%s%d", string.sub(state, 1, 1), first + step)
    local job, at = base .. id, string.format("%d", now - spacing * (count - step))
    redis.call("HSET", job, "name", "send", "data", '{"number":' .. step .. ',"to":"' .. id .. '@example.com"}',
      "opts", '{"attempts":3}', "timestamp", at, "delay", "0", "priority", "0", "atm", "0")
    if state == "wait" then redis.call("LPUSH", base .. state, id)
    elseif state == "delayed" then redis.call("ZADD", base .. state, (now + 3600000) * 4096, id)
    else
      redis.call("ZADD", base .. state, at, id)
      redis.call("HSET", job, "processedOn", at, "finishedOn", at, "atm", "1", "pb", "web1", "returnvalue", "null")
    end
    if state == "failed" then
      redis.call("HSET", job, "failedReason", "TimeoutError: server " .. step % 7 .. " did not respond in 30 s",
        "stacktrace", '["Error\\\\n    at send (/srv/mail' .. step % 40 .. '.js:12:3)"]')
    end
  end
end
"""


def fill(server: Server) -> None:
    """Write the large and the small queues."""
    client: Redis = server.client
    script, now = client.register_script(_FILL), round(time.time() * 1000)
    for name, counts in LARGE.items():
        for first in range(0, max(counts.values()), BIG_STEP):
            step = [min(counts.get(state, 0), BIG_STEP) for state in _STATES]
            at = now - LARGE_SPACING_MS * (max(counts.values()) - first - BIG_STEP)
            script(args=[f"bull:{name}:", at, first, LARGE_SPACING_MS, *step])
    for number in range(SMALL):
        base = f"bull:shop{number % 25}-sync{number}:"
        script(args=[base, now, 0, SMALL_SPACING_MS, *(OF_SMALL[state] for state in _STATES)])


class Known(NamedTuple):
    """The ids of the parent of a flow and of a dead letter."""

    parent: str
    letter: str


def change_one(server: Server) -> None:
    """Add a job to a queue that stands still otherwise."""
    at = round(time.time() * 1000)
    server.client.register_script(_FILL)(args=["bull:shop0-sync0:", at, at % 1_000_000_000, 0, 1, 0, 0, 0])


async def add_the_rest(server: Server) -> Known:
    """Add dead letters, schedulers, a flow, history and changes."""
    url, settings = f"redis://127.0.0.1:{server.port}/0", Settings()
    now = round(time.time() * 1000)
    letters: list[Any] = [_letter(number, now) for number in range(LETTER_COUNT)]
    async with JobQueue(LETTERS, url, settings=settings) as queue:
        for first in range(0, LETTER_COUNT, 1000):
            await queue.add_bulk(letters[first : first + 1000])
    async with JobQueue(SCHEDULED, url, settings=settings) as queue:
        for number in range(SCHEDULERS):
            await queue.upsert_job_scheduler(f"every-{number}", name="run", every=(number + 1) * 3_600_000)
    async with FlowProducer(url, settings=settings) as flows:
        children = [Flow("part", {"part": number}, queue=WAITING) for number in range(CHILDREN)]
        added = await flows.add(Flow("whole", queue=WAITING, children=children))
    await _add_history(Operations(operator_broker(url, settings.prefix)), now)
    return Known(added.job.id, letters[0]["opts"]["job_id"])


async def _add_history(operations: Operations, now: int) -> None:
    await operations.start()
    try:
        for number in range(CHANGES):
            operations.audit_log.record(Change(action="retry", queue=FAILED, target=str(number)))
            if not number % 100:
                await operations.audit_log.flush()
        for span in SPANS.values():
            starts = [span.start_of(now) - span.bucket_ms * each for each in range(span.buckets)]
            times = tuple(range(25))
            buckets = {span.slot_of(at): Bucket(at, 90, 9, 50, 7, 5, times, times).encoded() for at in starts}
            await operations.broker.history(FAILED).write(span, buckets)
    finally:
        await operations.stop()


def _letter(number: int, now: int) -> Any:
    letter = make_dead_letter(
        queue=FAILED,
        job_id=f"f{number}",
        name="send",
        data={"number": number},
        opts={"attempts": 3},
        reason=f"TimeoutError: server {number % 7} did not respond in 30 s",
        reason_class="exhausted",
        traces=["Error\n    at send (/srv/mail.js:12:3)"],
        attempts_made=3,
        finished_on=now - number,
        worker="web1",
    )
    return {"name": letter.name, "data": letter.data, "opts": {"job_id": letter.id}}
