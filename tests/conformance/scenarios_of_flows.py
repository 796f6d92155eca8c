"""Scenarios of parents and children."""

from __future__ import annotations

from typing import Any

from conformance.scenarios import BOOM, OK, START, Scenario, Step, add, finished, until

FAILED_CHILD = {"kid": [BOOM]}


def flow(*kids: dict[str, Any], **options: Any) -> Step:
    """A parent in ``work``, with a child in ``kids`` for each of ``kids``, the child's options."""
    children = [
        {
            "name": f"kid{number}" if not opts else "kid",
            "queueName": "kids",
            "data": {},
            "opts": {"jobId": f"k{number}", **opts},
        }
        for number, opts in enumerate(kids)
    ]
    return (
        "flow",
        {
            "name": "parent",
            "queueName": "work",
            "data": {},
            "opts": {"jobId": "p", **options},
            "children": children,
        },
    )


def family(*steps: Step, script: dict[str, Any] | None = None) -> Scenario:
    return Scenario(steps, script or {}, queues=("kids", "work"))


FLOWS: dict[str, Scenario] = {
    "flow_of_completed_children": family(
        flow({}, {}),
        START,
        until(completed=1),
        until("kids", completed=2),
        script={"kid0": [[("returns", {"x": 1})]], "parent": [[("childrenValues", None)]]},
    ),
    "flow_with_a_failed_child": family(
        flow({}, {"attempts": 1}),
        START,
        until("kids", completed=1, failed=1),
        until(waiting_children=1),
        script=FAILED_CHILD,
    ),
    **{
        f"flow_{option}": family(
            flow({}, {option: True}),
            START,
            until("kids", completed=1, failed=1),
            until(**{state: 1}),
            script={**FAILED_CHILD, "parent": [OK]},
        )
        for option, state in {
            "failParentOnFailure": "failed",
            "continueParentOnFailure": "completed",
            "ignoreDependencyOnFailure": "completed",
            "removeDependencyOnFailure": "completed",
        }.items()
    },
    "flow_of_three_generations": family(
        (
            "flow",
            {
                "name": "grandparent",
                "queueName": "work",
                "opts": {"jobId": "g", "priority": 2},
                "children": [
                    {
                        "name": "parent",
                        "queueName": "work",
                        "opts": {"jobId": "p", "delay": 50, "failParentOnFailure": True},
                        "children": [
                            {
                                "name": "kid",
                                "queueName": "kids",
                                "opts": {"jobId": "k", "failParentOnFailure": True},
                            }
                        ],
                    }
                ],
            },
        ),
        START,
        until("kids", failed=1),
        until(failed=2),
        script=FAILED_CHILD,
    ),
    "flow_whose_child_is_retried_by_hand": family(
        flow({"failParentOnFailure": False}),
        START,
        until("kids", failed=1),
        ("job", "kids", "k0", "retry"),
        until("kids", completed=1),
        until(completed=1),
        script={"kid": [BOOM, OK], "parent": [[("childrenValues", None)]]},
    ),
    "flow_with_a_removed_child": family(
        flow({"removeOnComplete": True}), START, until(completed=1), until("kids"), script={"kid": [OK]}
    ),
    "waiting_children_in_steps": family(
        add("steps"),
        START,
        until(completed=1),
        until("kids", completed=1),
        script={
            "steps": [[("child", ["kid", {"jobId": "k"}]), ("awaitChildren", None)], [("childrenValues", None)]],
            "kid": [[("wait", 100), *OK]],
        },
    ),
    "waiting_children_when_there_are_none": Scenario(
        finished(add("steps"), completed=1), {"steps": [[("awaitChildren", None), *OK], OK]}
    ),
    **{
        f"{what}_after_a_child_has_failed": family(
            add("steps", attempts=3),
            START,
            until("kids", failed=1),
            until(failed=1),
            script={
                "steps": [[("child", ["kid", {"jobId": "k", "failParentOnFailure": True}]), ("wait", 300), *then]],
                **FAILED_CHILD,
            },
        )
        for what, then in {"complete": OK, "waiting_children": [("awaitChildren", None)]}.items()
    },
    "complete_with_pending_children": family(
        add("steps"),
        START,
        until(failed=1),
        script={"steps": [[("child", ["kid", {"jobId": "k", "delay": 60_000}]), *OK]]},
    ),
}
