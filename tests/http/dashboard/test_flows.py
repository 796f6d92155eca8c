"""The flow that a job is in stands on its page, as a tree of links."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from auth_worker.admin import flows
from auth_worker.flow import Flow, FlowProducer
from support.admin_api import add
from support.dashboard_visitor import Page, Visitor
from support.http_requests import Api
from support.processors import QUEUE, Harness


@pytest.fixture
async def producer(harness: Harness) -> AsyncIterator[FlowProducer]:
    """A producer of flows on the harness's server."""
    producer = FlowProducer(harness.url)
    yield producer
    await producer.close()


def tree_of(page: Page) -> str:
    """The tree on the page of a job, as HTML."""
    assert page.status == 200, page.text
    return page.text.partition('<ul class="tree">')[2].partition("</section>")[0]


async def test_every_job_of_a_flow_shows_the_whole_tree(
    reader: Visitor, paused_api: Api, producer: FlowProducer
) -> None:
    leaves = [Flow(f"leaf{number}", queue=QUEUE, job_id=f"leaf{number}") for number in range(2)]
    branch = Flow("<b>branch</b>", queue="other", job_id="branch", children=leaves)
    await producer.add(
        Flow("root", queue=QUEUE, job_id="root", children=[branch, Flow("alone", queue=QUEUE, job_id="alone")])
    )
    for queue, job_id in ((QUEUE, "root"), ("other", "branch"), (QUEUE, "leaf1"), (QUEUE, "alone")):
        page = await reader.get("job", queue=queue, job=job_id)
        tree = tree_of(page)
        assert tree.count("<li>") == 5, job_id
        assert tree.count('aria-current="true"') == 1
        assert "&lt;b&gt;branch&lt;/b&gt;" in tree
        assert tree.index("root") < tree.index("branch") < tree.index("leaf0")
        for link in [link for link in page.links if link.startswith("job?")]:
            assert (await reader.get(link)).status == 200


async def test_a_job_without_a_flow_shows_none(reader: Visitor, paused_api: Api) -> None:
    page = await reader.get("job", queue=QUEUE, job=await add(paused_api))
    assert "<h2>Flow</h2>" not in page.text


async def test_a_large_flow_is_shown_in_part_with_how_many_are_left_out(
    reader: Visitor, paused_api: Api, producer: FlowProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await producer.add(
        Flow("root", queue=QUEUE, job_id="root", children=[Flow("leaf", queue=QUEUE) for _ in range(50)])
    )
    monkeypatch.setattr(flows, "MOST_NODES", 11)
    tree = tree_of(await reader.get("job", queue=QUEUE, job="root"))
    assert tree.count("leaf</a>") == 10
    assert "and 40 more" in tree


async def test_a_parent_that_is_gone_leaves_its_child_as_the_first(
    reader: Visitor, paused_api: Api, producer: FlowProducer, harness: Harness
) -> None:
    await producer.add(
        Flow("root", queue=QUEUE, job_id="root", children=[Flow("leaf", queue=QUEUE, job_id="leaf")])
    )
    await harness.redis.delete(f"bull:{QUEUE}:root")
    assert "<h2>Flow</h2>" not in (await reader.get("job", queue=QUEUE, job="leaf")).text


async def test_a_flow_that_goes_in_a_circle_comes_to_an_end(
    reader: Visitor, paused_api: Api, harness: Harness
) -> None:
    for job_id in ("a", "b"):
        other = "b" if job_id == "a" else "a"
        fields = {"name": job_id, "timestamp": 1, "data": "{}", "parentKey": f"bull:{QUEUE}:{other}"}
        await harness.redis.hset(f"bull:{QUEUE}:{job_id}", mapping=fields)
        await harness.redis.sadd(f"bull:{QUEUE}:{job_id}:dependencies", f"bull:{QUEUE}:{other}")
    await harness.redis.hset(f"bull:{QUEUE}:meta", "opts.maxLenEvents", "1")
    tree = tree_of(await reader.get("job", queue=QUEUE, job="a"))
    assert 2 <= tree.count("<li>") <= 10
