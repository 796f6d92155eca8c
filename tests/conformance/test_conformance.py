"""Whatever happens to a job, our worker leaves in Redis what Node's Worker leaves: key by key, field by field."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pprint import pformat

import pytest
import pytest_asyncio

from conformance.scenarios_of_queues import SCENARIOS
from conformance.sides import Node, Pair
from interop.node_side import NodeProcess
from support.servers import Server

OFFSET = ("^bull:work:repeat:nightly value offset$", "when in its period the scheduler was set up")
PREVIOUS = (
    " opts prevMillis$",
    "the official Python JobScheduler notes it also for `every`, where nobody reads it",
)
KNOWN: dict[str, list[tuple[str, str]]] = {
    "retry_many_times": [
        (
            "^bull:work:events value ",
            "from the tenth attempt on a retry waits a second at least, so that none runs hot",
        )
    ],
    "scheduler_every": [OFFSET, PREVIOUS],
    "scheduler_every_with_options": [OFFSET, PREVIOUS],
    "scheduler_changed_meanwhile": [OFFSET, PREVIOUS],
    "waiting_children_when_there_are_none": [
        (
            "^bull:work:(1 value ats$|events value )",
            "a consumer cannot ask first: its job is handed back and runs again",
        )
    ],
    **{
        name: [("^bull:work:.* (failedReason|stacktrace)$", "our wording, without the name of the script")]
        for name in (
            "complete_with_pending_children",
            "complete_after_a_child_has_failed",
            "waiting_children_after_a_child_has_failed",
        )
    },
    "dead_lettered": [
        ("^bull:dead:| dlq$", "our dead-letter queue, and the mark of the letter on its job"),
        ("^bull:work:dead-letter-lease$", "which of our services looks after the dead letters"),
    ],
}
"""By scenario, or ``*`` for all: what differs (a pattern for ``key field``), and why."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def players(server: Server, node_process: NodeProcess) -> AsyncIterator[Node]:
    """The Node process of these tests."""
    node = await Node.start("127.0.0.1", server.port)
    yield node
    await node.stop()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", SCENARIOS)
async def test_both_workers_leave_the_same(name: str, players: Node, server: Server) -> None:
    server.flush()
    known = [pattern for where in ("*", name) for pattern, _ in KNOWN.get(where, [])]
    pair = Pair(players, server.url, SCENARIOS[name], lambda what: any(re.search(each, what) for each in known))
    try:
        differences = await pair.play()
    finally:
        await pair.close()
        await players.call("reset")
    assert not differences, "what differs: Node's, ours\n" + pformat(differences, width=110)
