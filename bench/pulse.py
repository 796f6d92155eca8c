"""A job every so many ms, sent with as little between the time it carries and the wire as Python can do."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import bullmq
import hiredis
from bullmq.job import Job

from auth_worker.brokers.redis.wire.resp import pack
from bench.adapters.child import now_us, payload
from bench.process import ContenderError
from bench.wire import Wire

PERIOD_S = 0.005


def send_pulses(port: int, queue: str, count: int) -> None:
    """Add ``count`` jobs, one every 5 ms; each carries the time of its start in us. Raises ``ContenderError``."""
    sha, keys, args = asyncio.run(_call_of_add(port, queue))
    with Wire(port) as wire:
        due = time.perf_counter()
        for index in range(count):
            due += PERIOD_S
            time.sleep(max(due - time.perf_counter(), 0))
            data = {**payload(index), "t": now_us()}
            args[1] = json.dumps(data, separators=(",", ":"))
            try:
                wire.ask(pack("EVALSHA", sha, len(keys), *keys, *args))
            except hiredis.ReplyError as error:
                raise ContenderError(f"the server refused a job: {error}") from error


async def _call_of_add(port: int, name: str) -> tuple[str, list[Any], list[Any]]:
    """The script call by which the official client adds a job; the script is loaded then."""
    queue: Any = bullmq.Queue(name, {"connection": {"host": "127.0.0.1", "port": port}})
    script = queue.scripts.commands["addStandardJob"]
    queue.scripts.commands["addStandardJob"] = lambda keys, args, client: (keys, args)
    job: Any = Job(queue, "noop", payload(0), {})
    keys, args = queue.scripts.addStandardJob(job, job.timestamp)
    await queue.client.script_load(script.script)
    await queue.close()
    return script.sha, keys, args
