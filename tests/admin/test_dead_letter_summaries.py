"""What is summed up of a dead-letter queue."""

from __future__ import annotations

import json
import time

from auth_worker.admin.dead_letter_summaries import sum_up
from auth_worker.admin.operations import Operations
from auth_worker.core.dead_letter import dead_letter_id, failed_at_of
from support.processors import DEAD, QUEUE, Harness

HOUR_MS = 3_600_000


async def test_reasons_origins_age_and_trend_are_counted(harness: Harness, operations: Operations) -> None:
    now = int(time.time() * 1000)
    places = [("exhausted", 0), ("exhausted", 0), ("stalled", 3), ("unrecoverable", 100)]
    for number, (reason, hours) in reversed(list(enumerate(places))):
        at = now - hours * HOUR_MS
        origin = "other" if reason == "stalled" else QUEUE
        data = {"originalQueue": origin, "originalJobId": str(number), "reasonClass": reason, "failedAt": at}
        letter_id = dead_letter_id(origin, str(number), at)
        await harness.redis.hset(f"bull:{DEAD}:{letter_id}", mapping={"name": "x", "data": json.dumps(data)})
        await harness.redis.lpush(f"bull:{DEAD}:wait", letter_id)
    await harness.redis.rpush(f"bull:{DEAD}:wait", "no dead letter")
    found = await sum_up(operations.broker, operations.dead, DEAD, 5)
    assert found.reasons == {"exhausted": 2, "stalled": 1, "unrecoverable": 1}
    assert found.origins == {QUEUE: 3, "other": 1}
    assert (found.trend[-1], found.trend[-4], sum(found.trend)) == (2, 1, 3)
    assert found.newest == now
    assert found.oldest is None  # another job is there
    await harness.redis.rpop(f"bull:{DEAD}:wait")
    found = await sum_up(operations.broker, operations.dead, DEAD, 4)
    assert found.oldest == now - 100 * HOUR_MS


def test_the_time_of_a_failure_is_read_from_the_id_of_its_dead_letter() -> None:
    assert failed_at_of(dead_letter_id("a@b", "c@d", 1_700_000_000_000)) == 1_700_000_000_000
    for other in ("", "x", "a@b@c", "a@b@99999999999999999999"):
        assert failed_at_of(other) is None
