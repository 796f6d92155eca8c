"""The routes of alerts: their state, and a test."""

from __future__ import annotations

from fastapi import APIRouter

from auth_worker.admin.alert_targets import targets_of
from auth_worker.admin.alerts import AlertState, Delivery
from auth_worker.http.api.parameters import ChangeHeader, TheContext, TheOperations

look = APIRouter(prefix="/v1")
act = APIRouter(prefix="/v1", dependencies=[ChangeHeader])


@look.get("/alerts", tags=["alerts"])
async def show_alerts(operations: TheOperations) -> AlertState:
    """Show the alerts that fire, may fire soon, or have ended within a day, and who was notified."""
    return await operations.alerts.state()


@act.post("/alerts/test", tags=["alerts"])
async def test_alerts(operations: TheOperations, context: TheContext) -> list[Delivery]:
    """Send a test to everybody whom the settings of this service name; an error says who did not take it."""
    return await operations.alerts.test(targets_of(context.settings))
