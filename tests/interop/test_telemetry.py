"""A trace goes on between Node and Python, both ways: BullMQ's own bullmq-otel is at the other end."""

from __future__ import annotations

import pytest
from opentelemetry.trace import SpanKind

from auth_worker import Job, JobQueue
from interop.conftest import StartWorker
from interop.node_side import NodeSide
from support.telemetry_capture import Traces, attributes_of, id_of, parent_of, trace_of

PRODUCER, CONSUMER = 3, 4
"""Node's span kinds, as its API counts them."""


async def work(job: Job) -> str:
    return "done"


async def test_a_node_producers_trace_goes_on_in_our_consumers_span(
    node: NodeSide, queue: str, start_worker: StartWorker, traces: Traces
) -> None:
    await node.open_queue(queue, traced=True)
    job_id = await node.add(queue, "welcome", {})
    await start_worker(queue, work)
    (ours,) = await traces.until(f"process {queue}")
    (theirs,) = await node.spans(f"add {queue}.welcome")
    assert (trace_of(ours), parent_of(ours)) == (theirs["traceId"], theirs["spanId"])
    assert ours.kind is SpanKind.CONSUMER
    assert attributes_of(ours)["messaging.message.id"] == job_id


async def test_the_jobs_of_a_bulk_go_on_in_the_bulks_trace(
    node: NodeSide, queue: str, start_worker: StartWorker, traces: Traces
) -> None:
    await node.open_queue(queue, traced=True)
    await node.add_bulk(queue, [{"name": "welcome", "data": {}} for _ in range(3)])
    await start_worker(queue, work)
    ours = await traces.until(f"process {queue}", 3)
    (theirs,) = await node.spans(f"addBulk {queue}")
    assert {(trace_of(span), parent_of(span)) for span in ours} == {(theirs["traceId"], theirs["spanId"])}


async def test_a_node_producer_may_keep_its_trace_to_itself(
    node: NodeSide, queue: str, start_worker: StartWorker, traces: Traces
) -> None:
    await node.open_queue(queue, traced=True)
    await node.add(queue, "welcome", {}, telemetry={"omitContext": True})
    await start_worker(queue, work)
    (ours,) = await traces.until(f"process {queue}")
    (theirs,) = await node.spans(f"add {queue}.welcome")
    assert parent_of(ours) is None
    assert trace_of(ours) != theirs["traceId"]


@pytest.mark.parametrize("bulk", [False, True], ids=["one", "bulk"])
async def test_our_producers_trace_goes_on_in_a_node_workers_span(
    node: NodeSide, queue: str, redis_url: str, traces: Traces, bulk: bool
) -> None:
    async with JobQueue(queue, redis_url) as jobs:
        with traces.tracer.start_as_current_span("request"):
            if bulk:
                await jobs.add_bulk([{"name": "welcome", "data": {}} for _ in range(2)])
            else:
                await jobs.add("welcome", {})
    (request,) = traces.named("request")
    (ours,) = traces.named(f"addBulk {queue}" if bulk else f"add {queue}")
    await node.start_worker(queue, {"returns": "done"}, traced=True)
    theirs = await node.spans(f"process {queue}", 2 if bulk else 1)
    assert (trace_of(ours), parent_of(ours)) == (trace_of(request), id_of(request))
    assert ours.kind is SpanKind.PRODUCER
    assert {(span["traceId"], span["parentId"], span["kind"]) for span in theirs} == {
        (trace_of(request), id_of(ours), CONSUMER)
    }


async def test_a_trace_goes_through_both_workers_and_on(
    node: NodeSide, queue: str, redis_url: str, start_worker: StartWorker, traces: Traces
) -> None:
    async def pass_on(job: Job) -> None:
        async with JobQueue(f"{queue}-next", redis_url) as jobs:
            await jobs.add("next", {})

    await node.open_queue(queue, traced=True)
    await node.add(queue, "first", {})
    await start_worker(queue, pass_on)
    await node.start_worker(f"{queue}-next", {"returns": "done"}, traced=True)
    (last,) = await node.spans(f"process {queue}-next")
    (first,) = await node.spans(f"add {queue}.first")
    (ran,) = await traces.until(f"process {queue}")
    (added,) = traces.named(f"add {queue}-next")
    assert {first["traceId"], trace_of(ran), trace_of(added), last["traceId"]} == {first["traceId"]}
    assert [parent_of(ran), parent_of(added), last["parentId"]] == [first["spanId"], id_of(ran), id_of(added)]


async def test_a_trace_outlives_a_failed_attempt_in_node(
    node: NodeSide, queue: str, start_worker: StartWorker, traces: Traces
) -> None:
    await node.open_queue(queue, traced=True)
    await node.start_worker(queue, {"throws": "down", "times": 1}, traced=True)
    job_id = await node.add(queue, "welcome", {}, attempts=2, backoff={"type": "fixed", "delay": 500})
    await node.runs(queue, 1)
    await node.stop_worker(queue)
    await start_worker(queue, work)
    await node.finished(queue, job_id)
    (ours,) = await traces.until(f"process {queue}")
    (theirs,) = await node.spans(f"add {queue}.welcome")
    assert (trace_of(ours), parent_of(ours)) == (theirs["traceId"], theirs["spanId"])
