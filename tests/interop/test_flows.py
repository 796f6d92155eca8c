"""Flows that Node's ``FlowProducer`` builds run here as in a Node worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from auth_worker import Job, JobQueue, UnrecoverableError, WaitForChildren
from interop.conftest import StartWorker
from interop.node_side import NodeSide, eventually

Tree = dict[str, Any]


def tree(queue: str, *children: Tree, **opts: Any) -> Tree:
    return {"name": "parent", "queueName": queue, "data": {}, "opts": opts, "children": list(children)}


def child(queue: str, name: str, **opts: Any) -> Tree:
    return {"name": name, "queueName": f"{queue}-children", "data": {}, "opts": opts}


async def bad_ones_fail(job: Job) -> str:
    if job.name == "bad":
        raise UnrecoverableError("bad to the bone")
    return f"value of {job.name}"


async def give_children(job: Job) -> list[Any]:
    return sorted((await job.children_values()).values())


async def test_a_parent_runs_after_its_children_with_their_values(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    async def consumer(job: Job) -> dict[str, Any]:
        return await job.children_values()

    flow = await node.flow(tree(queue, child(queue, "a"), child(queue, "b")))
    a, b = (each["job"]["id"] for each in flow["children"])
    parent_id = flow["job"]["id"]
    await start_worker(queue, consumer)
    assert await node.state(queue, parent_id) == "waiting-children"
    await start_worker(f"{queue}-children", bad_ones_fail)
    values = {f"bull:{queue}-children:{a}": "value of a", f"bull:{queue}-children:{b}": "value of b"}
    assert (await node.finished(queue, parent_id))["returnvalue"] == values
    assert await node.job(queue, parent_id, "getChildrenValues") == values


async def test_a_child_knows_its_parent(node: NodeSide, queue: str, start_worker: StartWorker) -> None:
    async def consumer(job: Job) -> Any:
        return job.parent

    flow = await node.flow(tree(queue, child(queue, "a")))
    await start_worker(f"{queue}-children", consumer)
    job = await node.finished(f"{queue}-children", flow["children"][0]["job"]["id"])
    assert job["returnvalue"]["id"] == flow["job"]["id"]
    assert job["returnvalue"]["queueKey"] == f"bull:{queue}"


async def test_grandchildren_run_before_children_before_the_parent_in_one_queue(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    names: list[str] = []

    async def consumer(job: Job) -> None:
        names.append(job.name)

    def nested(name: str, *children: Tree) -> Tree:
        return {"name": name, "queueName": queue, "data": {}, "children": list(children)}

    await node.flow(nested("root", nested("left", nested("left leaf")), nested("right", nested("right leaf"))))
    await start_worker(queue, consumer, concurrency=5)
    await node.until_counts(queue, completed=5)
    assert names[-1] == "root"
    assert names.index("left leaf") < names.index("left")
    assert names.index("right leaf") < names.index("right")


async def test_a_node_parent_gets_the_values_of_our_children(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    flow = await node.flow(tree(queue, child(queue, "a"), child(queue, "b")))
    await node.start_worker(queue, {"returns": "done"})
    await start_worker(f"{queue}-children", bad_ones_fail)
    assert (await node.finished(queue, flow["job"]["id"]))["returnvalue"] == "done"
    values = await node.job(queue, flow["job"]["id"], "getChildrenValues")
    assert sorted(values.values()) == ["value of a", "value of b"]


async def test_our_parent_gets_the_values_of_node_children(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    flow = await node.flow(tree(queue, child(queue, "a"), child(queue, "b")))
    await start_worker(queue, give_children)
    await node.start_worker(f"{queue}-children", {"returns": "from Node"})
    assert (await node.finished(queue, flow["job"]["id"]))["returnvalue"] == ["from Node", "from Node"]


async def test_a_child_that_fails_leaves_the_parent_waiting_where_nothing_else_was_said(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    flow = await node.flow(tree(queue, child(queue, "bad"), child(queue, "good")))
    await start_worker(queue, give_children)
    await start_worker(f"{queue}-children", bad_ones_fail)
    await node.until_counts(f"{queue}-children", failed=1, completed=1)
    assert await node.counts(queue) == {"waiting-children": 1}
    assert (await node.job(queue, flow["job"]["id"], "getDependenciesCount"))["unprocessed"] == 1


async def test_a_parent_fails_with_its_child_where_node_said_so(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    flow = await node.flow(tree(queue, child(queue, "bad", failParentOnFailure=True), child(queue, "good")))
    bad = flow["children"][0]["job"]["id"]
    await start_worker(queue, give_children, dead_letters=f"{queue}-dead")
    await start_worker(f"{queue}-children", bad_ones_fail)
    job = await node.finished(queue, flow["job"]["id"])
    assert job["failedReason"] == f"child bull:{queue}-children:{bad} failed"
    (letter,) = await node.jobs(f"{queue}-dead", "waiting")
    assert letter["data"]["failedReason"] == job["failedReason"]
    assert letter["data"]["reasonClass"] == "unrecoverable"


async def test_a_failure_climbs_from_grandchild_to_root_where_node_said_so(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    middle = {**child(queue, "middle", failParentOnFailure=True)}
    middle["children"] = [child(queue, "bad", failParentOnFailure=True)]
    flow = await node.flow(tree(queue, middle))
    await start_worker(queue, give_children)
    await start_worker(f"{queue}-children", bad_ones_fail)
    assert "failed" in (await node.finished(queue, flow["job"]["id"]))["failedReason"]
    await node.until_counts(f"{queue}-children", failed=2)


@pytest.mark.parametrize(
    ("option", "ignored", "left_over"),
    [("ignoreDependencyOnFailure", 1, {"ignored": 1}), ("removeDependencyOnFailure", 0, {})],
)
async def test_a_parent_runs_without_its_failed_child_where_node_said_so(
    node: NodeSide, queue: str, start_worker: StartWorker, option: str, ignored: int, left_over: dict[str, int]
) -> None:
    flow = await node.flow(tree(queue, child(queue, "bad", **{option: True}), child(queue, "good")))
    known: list[dict[str, str]] = []

    async def consumer(job: Job) -> list[Any]:
        known.append(await job.children_failures())
        return await give_children(job)

    await start_worker(queue, consumer)
    await start_worker(f"{queue}-children", bad_ones_fail)
    parent_id = flow["job"]["id"]
    assert (await node.finished(queue, parent_id))["returnvalue"] == ["value of good"]
    dependencies = await node.job(queue, parent_id, "getDependenciesCount")
    assert dependencies.get("processed", 0) == 1
    assert {name: count for name, count in dependencies.items() if count and name != "processed"} == left_over
    failures = await node.job(queue, parent_id, "getIgnoredChildrenFailures")
    assert list(failures.values()) == ["bad to the bone"] * ignored
    assert known == [failures]


async def test_a_parent_runs_at_once_when_its_child_fails_where_node_said_so(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    bad, slow = child(queue, "bad", continueParentOnFailure=True), child(queue, "slow", delay=600_000)
    flow = await node.flow(tree(queue, bad, slow))
    ran: list[int] = []

    async def consumer(job: Job) -> None:
        ran.append(job.attempt)
        raise UnrecoverableError("cannot go on without it")

    await start_worker(queue, consumer)
    await start_worker(f"{queue}-children", bad_ones_fail)
    job = await node.finished(queue, flow["job"]["id"])
    assert (ran, job["failedReason"]) == ([1], "cannot go on without it")


@pytest.fixture(params=["ours", "node"])
def add_child(request: pytest.FixtureRequest, node: NodeSide, redis_url: str) -> Callable[..., Any]:
    """Adds a job as a child of a running one, by our producer or by Node's."""

    async def add(queue: str, parent: Any) -> None:
        if request.param == "node":
            await node.add(queue, "late", {}, parent=parent)
            return
        async with JobQueue(queue, redis_url) as jobs:
            await jobs.add("late", {}, parent=parent)

    return add


async def test_a_job_can_wait_for_children_it_adds_itself(
    node: NodeSide, queue: str, start_worker: StartWorker, add_child: Callable[..., Any]
) -> None:
    steps: list[int] = []

    async def consumer(job: Job) -> list[Any]:
        steps.append(job.attempt)
        if len(steps) == 1:
            await add_child(f"{queue}-children", {"id": job.id, "queue": f"bull:{queue}"})
            raise WaitForChildren
        return sorted((await job.children_values()).values())

    job_id = await node.add(queue, "parent", {}, attempts=1)
    await start_worker(queue, consumer)

    async def waiting() -> bool:
        return await node.state(queue, job_id) == "waiting-children"

    await eventually(waiting)
    await node.start_events(queue)
    assert (await node.event(queue, "waiting-children"))["jobId"] == job_id
    await start_worker(f"{queue}-children", bad_ones_fail)
    job = await node.finished(queue, job_id)
    assert (job["returnvalue"], job["attemptsMade"], steps) == (["value of late"], 1, [1, 1])


async def test_a_job_that_waits_for_children_it_has_not_goes_on_at_once(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    runs = 0

    async def consumer(job: Job) -> int:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise WaitForChildren
        return runs

    job_id = await node.add(queue, "parent", {})
    await start_worker(queue, consumer)
    assert (await node.finished(queue, job_id))["returnvalue"] == 2


async def test_a_job_that_returns_with_children_pending_does_not_complete(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    async def consumer(job: Job) -> str:
        await node.add(f"{queue}-children", "late", {}, parent={"id": job.id, "queue": f"bull:{queue}"})
        return "done"

    job_id = await node.add(queue, "parent", {}, attempts=1)
    await start_worker(queue, consumer)
    assert "pending dependencies" in (await node.finished(queue, job_id))["failedReason"]
