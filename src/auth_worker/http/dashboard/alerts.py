"""The page of alerts: what fires, by which rules, and who is notified."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response

from auth_worker.admin.alert_targets import targets_of
from auth_worker.admin.alerts import Delivery
from auth_worker.core.alert_messages import rule_text
from auth_worker.core.clock import now_ms
from auth_worker.http.dashboard.visit import Visit

STALE_MS = 180_000
"""After how long (ms) without an evaluation the page says that nobody evaluates the rules."""


async def show_alerts(visit: Visit) -> Response:
    """Show what fires, the rules, and who is notified."""
    return await _page(visit)


async def test_alerts(visit: Visit) -> Response:
    """Send a test to everybody whom the settings of this process name, and show what became of it."""
    operations = await visit.operations()
    return await _page(visit, await operations.alerts.test(targets_of(visit.host.settings)))


async def _page(visit: Visit, deliveries: Sequence[Delivery] = ()) -> Response:
    state = await (await visit.operations()).alerts.state()
    rules = [
        (rule, rule_text(rule, threshold), [each for each in state.firing if each.rule == rule])
        for rule, threshold in state.thresholds.items()
    ]
    return visit.page(
        "alerts.html",
        deliveries=deliveries,
        is_stale=now_ms() - state.evaluated_at > STALE_MS,
        pending=[each for each in state.alerts if each.fired_at is None],
        resolved=[each for each in state.alerts if each.resolved_at is not None],
        rules=rules,
        state=state,
    )
