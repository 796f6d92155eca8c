"""When an alert begins and ends, and who has to be told: decisions without I/O.

What was decided is kept from one evaluation to the next, so that it does not matter which process makes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

from pydantic import Field

from auth_worker.core.alert_settings import AlertSettings
from auth_worker.core.camel_model import CamelModel
from auth_worker.core.durations import duration_text

MOST_ALERTS = 200
"""How many violations are looked at, and how many alerts that have ended are kept, at most."""
RESOLVED_MS = 86_400_000
"""How long an alert that has ended is kept, to be shown."""
NotificationKind = Literal["began", "goes on", "resolved"]


class QueueReading(NamedTuple):
    """A queue at the time of an evaluation. ``letters``: how many dead letters it holds, as a dead-letter queue.

    ``workers`` is None if they cannot be counted.
    """

    queue: str
    waiting: int = 0
    oldest_ms: int = 0
    failed_per_minute: int = 0
    workers: int | None = None
    paused: bool = False
    letters: int = 0


class StuckScheduler(NamedTuple):
    """A job scheduler that does not go on, and ``what`` is wrong with it."""

    queue: str
    scheduler: str
    what: str


class Violation(NamedTuple):
    """A threshold that is exceeded now. An alert begins once it has been for ``hold_ms``."""

    rule: str
    queue: str
    scheduler: str
    text: str
    hold_ms: int = 0

    @property
    def key(self) -> str:
        """What tells it from other violations."""
        return "\0".join(self[:3])


class Notified(CamelModel):
    """When (epoch ms) a target was notified of an alert last, and whether of its end."""

    at: int
    resolved: bool = False


class Alert(CamelModel):
    """A violation that lasts: seen from ``since`` on, an alert from ``fired_at`` on, over at ``resolved_at``.

    Times are epoch ms. ``notified`` says so by the target's name.
    """

    rule: str
    queue: str
    scheduler: str
    text: str
    since: int
    fired_at: int | None = None
    resolved_at: int | None = None
    notified: dict[str, Notified] = Field(default_factory=dict)

    @property
    def key(self) -> str:
        """As that of its violation."""
        return "\0".join((self.rule, self.queue, self.scheduler))

    @property
    def is_firing(self) -> bool:
        """Whether it has begun and is not over."""
        return self.fired_at is not None and self.resolved_at is None

    def notification_for(self, target: str, now: int, repeat_ms: float | None) -> NotificationKind | None:
        """Return of what this target is to be notified now; None for nothing."""
        known = self.notified.get(target)
        if self.is_firing:
            if known is None or known.resolved:
                return "began"
            return "goes on" if repeat_ms is not None and now - known.at >= repeat_ms else None
        return "resolved" if self.resolved_at is not None and known is not None and not known.resolved else None


class Notification(NamedTuple):
    """What a target is to be notified of."""

    kind: NotificationKind
    alert: Alert


def violations(
    settings: AlertSettings, queues: Iterable[QueueReading], schedulers: Iterable[StuckScheduler] = ()
) -> list[Violation]:
    """Return which thresholds are exceeded."""
    found = [violation for queue in queues for violation in _of_queue(settings, queue)]
    if settings.scheduler_overdue is not None:
        hold_ms = round(settings.scheduler_overdue * 1000)
        found += [
            Violation(
                "scheduler_overdue",
                each.queue,
                each.scheduler,
                f"{each.scheduler} of {each.queue} {each.what}",
                hold_ms,
            )
            for each in schedulers
        ]
    return [each for each in found if not any(fnmatchcase(each.queue, name) for name in settings.ignored_queues)]


def advance(
    alerts: Sequence[Alert], found: Iterable[Violation], now: int, *, unseen: Iterable[str] = ()
) -> list[Alert]:
    """Return the alerts after an evaluation: those that begin, go on, or are over.

    ``unseen``: the queues that could not be looked at, whose alerts stay as they are.
    """
    known = {alert.key: alert for alert in alerts}
    violated = {violation.key: violation for violation in found}
    hidden = frozenset(unseen)
    lasting = sorted(violated, key=lambda key: key not in known)[:MOST_ALERTS]
    after = [_going_on(known.get(key), violated[key], now) for key in lasting]
    for key, alert in known.items():
        if key in violated:
            continue
        if alert.queue in hidden:
            after.append(alert)
        elif alert.is_firing:
            after.append(alert.model_copy(update={"resolved_at": now}))
        elif alert.resolved_at is not None and now - alert.resolved_at < RESOLVED_MS:
            after.append(alert)
    after.sort(
        key=lambda alert: (alert.resolved_at is not None, -(alert.resolved_at or 0), alert.since, alert.key)
    )
    return after[: 2 * MOST_ALERTS]


def notifications_for(
    alerts: Iterable[Alert], target: str, now: int, repeat_s: float | None
) -> list[Notification]:
    """Return what a target is to be notified of now."""
    repeat_ms = None if repeat_s is None else repeat_s * 1000
    return [
        Notification(kind, alert)
        for alert in alerts
        if (kind := alert.notification_for(target, now, repeat_ms)) is not None
    ]


def with_notified(
    alerts: Iterable[Alert], target: str, notifications: Iterable[Notification], now: int
) -> list[Alert]:
    """Return the alerts once the target has been notified."""
    notified = {each.alert.key: Notified(at=now, resolved=each.kind == "resolved") for each in notifications}
    return [
        alert.model_copy(update={"notified": {**alert.notified, target: notified[alert.key]}})
        if alert.key in notified
        else alert
        for alert in alerts
    ]


def _going_on(known: Alert | None, violation: Violation, now: int) -> Alert:
    if known is None or (known.resolved_at is not None and all(each.resolved for each in known.notified.values())):
        new = Alert(rule=violation.rule, queue=violation.queue, scheduler=violation.scheduler, text="", since=now)
        known = new if known is None else new.model_copy(update={"notified": known.notified})
    fired_at = known.fired_at
    if fired_at is None and now - known.since >= violation.hold_ms:
        fired_at = now
    return known.model_copy(update={"text": violation.text, "fired_at": fired_at, "resolved_at": None})


def _of_queue(settings: AlertSettings, read: QueueReading) -> Iterable[Violation]:
    name = read.queue
    if settings.dead_letters is not None and read.letters > settings.dead_letters:
        yield Violation("dead_letters", name, "", f"{name} holds {_count(read.letters, 'dead letter')}")
    if settings.failed_per_minute is not None and read.failed_per_minute > settings.failed_per_minute:
        text = f"{_count(read.failed_per_minute, 'job')} of {name} failed within a minute"
        yield Violation("failed_per_minute", name, "", text)
    if settings.paused is not None and read.paused:
        text = f"{name} is paused with {_waits(read)}" if read.waiting else f"{name} is paused, and nothing waits"
        yield Violation("paused", name, "", text, round(settings.paused * 1000))
    if not read.waiting:
        return
    if settings.oldest_waiting is not None and read.oldest_ms > settings.oldest_waiting * 1000:
        yield Violation("oldest_waiting", name, "", f"{name} has {_waits(read)}")
    if settings.no_worker is not None and read.workers == 0 and not read.paused:
        text = f"No worker on {name} with {_waits(read)}"
        yield Violation("no_worker", name, "", text, round(settings.no_worker * 1000))


def _waits(read: QueueReading) -> str:
    return f"{read.waiting:,} waiting; the oldest waits {duration_text(read.oldest_ms, 1)}"


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
