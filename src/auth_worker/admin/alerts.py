"""The alerts: what one elected process finds by the rules of the settings, and who has been notified."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from pydantic import Field, ValidationError

from auth_worker.admin.alert_targets import DeliveryError, Target
from auth_worker.admin.models import Change, QueueList, QueueOverview
from auth_worker.admin.queues import QueueOperations
from auth_worker.admin.schedulers import SchedulerOperations
from auth_worker.core.alert_messages import Message
from auth_worker.core.alert_settings import AlertSettings
from auth_worker.core.alerts import (
    Alert,
    Notification,
    QueueReading,
    StuckScheduler,
    advance,
    notifications_for,
    violations,
    with_notified,
)
from auth_worker.core.camel_model import CamelModel
from auth_worker.core.clock import now_ms
from auth_worker.core.error_text import error_text
from auth_worker.core.ports.operator import OperatorBroker
from auth_worker.errors import ConfigurationError

NOBODY = "the settings name nobody to notify: set webhook_url, slack_url or email_to of [alerts]"
LEASE_MS = 90_000
"""How long whoever evaluates the rules is the only one; another goes on where it has not come back by then."""
LIFETIME_MS = 7 * 86_400_000
_TROUBLES = {
    "broken": "cannot be read",
    "stopped": "has no next run",
    "overdue": "is overdue: its job is due, and no worker has begun it",
}


class TargetState(CamelModel):
    """When a target was notified last, and since when and why it takes nothing, if it does not."""

    notified_at: int | None = None
    failed_since: int | None = None
    error: str = ""


class AlertState(CamelModel):
    """The state of the alerts: what was found at ``evaluated_at`` (epoch ms) by which process.

    ``thresholds`` are those of the rules that are on; ``alerts`` has those that fire, those that may soon, and
    those that have ended within a day. ``targets`` is by name.
    """

    evaluated_at: int = 0
    evaluated_by: str = ""
    thresholds: dict[str, float] = Field(default_factory=dict)
    alerts: list[Alert] = Field(default_factory=list)
    targets: dict[str, TargetState] = Field(default_factory=dict)

    @property
    def firing(self) -> list[Alert]:
        """Those that have begun and are not over."""
        return [alert for alert in self.alerts if alert.is_firing]


class Delivery(CamelModel):
    """Whether a target has taken a message: ``error`` is empty if it has."""

    target: str
    error: str = ""


class _Sent(NamedTuple):
    target: Target
    notifications: list[Notification]
    delivery: Delivery


class AlertOperations:
    """The alerts of the queues of ``broker``. Every coroutine may raise ``BrokerError``."""

    def __init__(
        self,
        broker: OperatorBroker,
        queues: QueueOperations,
        schedulers: SchedulerOperations,
        record: Callable[[Change], None],
    ) -> None:
        self._broker = broker
        self._record = record
        self._store = broker.alerts()
        self._queues = queues
        self._schedulers = schedulers

    async def elect(self, owner: str) -> bool:
        """Return whether ``owner`` is the one that evaluates the rules now."""
        return await self._store.elect(owner, LEASE_MS)

    async def resign(self, owner: str) -> None:
        """Let another be elected at once, if ``owner`` is the one that evaluates the rules."""
        await self._store.resign(owner)

    async def state(self) -> AlertState:
        """Return what was found last."""
        try:
            return AlertState.model_validate_json(await self._store.read() or "{}")
        except ValidationError:
            return AlertState()

    async def evaluate(self, settings: AlertSettings, targets: Sequence[Target], by: str) -> list[Delivery]:
        """Find out what is wrong by the rules, keep that, and notify the targets of what is new to them.

        It is kept before anybody is notified, and who was notified afterwards: after a crash in between they are
        notified twice, rather than not at all. Returns what became of the messages.
        """
        before, overview = await self.state(), await self._queues.overview()
        found = violations(settings, map(_reading_of, overview.queues), await self._stuck(settings))
        now = now_ms()
        state = AlertState(
            evaluated_at=now,
            evaluated_by=by,
            thresholds=settings.thresholds,
            alerts=advance(before.alerts, found, now, unseen=_unseen(before, overview)),
            targets={each.name: before.targets.get(each.name, TargetState()) for each in targets},
        )
        await self._write(state)
        pending = [(each, notifications_for(state.alerts, each.name, now, settings.repeat)) for each in targets]
        sent = await asyncio.gather(*(self._send(each, found, now) for each, found in pending if found))
        if sent:
            await self._write(_after(state, sent, now))
        return [each.delivery for each in sent]

    async def test(self, targets: Sequence[Target]) -> list[Delivery]:
        """Send a test to each target, and return what became of it. That is in the audit log.

        Raises ``ConfigurationError`` without any.
        """
        if not targets:
            raise ConfigurationError(NOBODY)
        sent = await asyncio.gather(*(self._send(each, [], now_ms()) for each in targets))
        deliveries = [each.delivery for each in sent]
        taken = sum(not each.error for each in deliveries)
        result: Literal["done", "failed"] = "done" if taken == len(deliveries) else "failed"
        self._record(Change(action="test alerts", queue="", target="alerts", count=taken, result=result))
        return deliveries

    async def _stuck(self, settings: AlertSettings) -> list[StuckScheduler]:
        if settings.scheduler_overdue is None:
            return []
        rows = (await self._schedulers.find()).schedulers
        return [StuckScheduler(row.queue, row.id, _TROUBLES[row.state]) for row in rows if row.state in _TROUBLES]

    async def _send(self, target: Target, notifications: list[Notification], now: int) -> _Sent:
        error = ""
        try:
            await target.send(Message(notifications, f"{self._broker.prefix} on {self._broker.address}", now))
        except DeliveryError as failure:
            error = str(failure)
        except Exception as failure:  # whatever it was, the others are notified all the same
            error = f"{type(failure).__name__}: {error_text(failure)}"
        return _Sent(target, notifications, Delivery(target=target.name, error=error))

    async def _write(self, state: AlertState) -> None:
        await self._store.write(state.model_dump_json(by_alias=True), LIFETIME_MS)


def _after(state: AlertState, sent: Sequence[_Sent], now: int) -> AlertState:
    alerts, targets = state.alerts, dict(state.targets)
    for target, notifications, delivery in sent:
        before = targets[target.name]
        if delivery.error:
            since = before.failed_since or now
            targets[target.name] = before.model_copy(update={"failed_since": since, "error": delivery.error})
        else:
            alerts = with_notified(alerts, target.name, notifications, now)
            targets[target.name] = TargetState(notified_at=now)
    return state.model_copy(update={"alerts": alerts, "targets": targets})


def _reading_of(queue: QueueOverview) -> QueueReading:
    """Return what the rules see. Of a dead-letter queue that is the number of its dead letters alone."""
    if queue.dead_letters_of:
        return QueueReading(queue.name, letters=queue.waiting)
    return QueueReading(
        queue.name,
        waiting=queue.waiting,
        oldest_ms=queue.oldest_waiting_ms or 0,
        failed_per_minute=queue.failed_per_minute,
        workers=queue.workers,
        paused=queue.paused,
    )


def _unseen(state: AlertState, overview: QueueList) -> set[str]:
    """Return the queues of alerts that were not looked at, since not all queues were found in time."""
    if overview.complete:
        return set()
    return {alert.queue for alert in state.alerts} - {queue.name for queue in overview.queues}
