"""Writes alerts as messages: one for all notifications of an evaluation, as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from auth_worker.core.alerts import Alert, Notification
from auth_worker.core.durations import duration_text
from auth_worker.core.terminal_text import visible

MOST_LINES = 50
"""How many alerts a text names."""
_TITLES = {"began": "Alert", "goes on": "Goes on", "resolved": "Resolved"}
_ORDER = ("began", "goes on", "resolved")


def rule_text(rule: str, threshold: float) -> str:
    """Return what a rule of the settings says, with its threshold."""
    number = f"{threshold:,.0f}"
    time = f" for longer than {duration_text(threshold * 1000)}" if threshold else ""
    return {
        "oldest_waiting": f"The next job in line waits{time}",
        "failed_per_minute": f"More than {number} jobs of a queue fail in a minute",
        "dead_letters": f"A dead-letter queue holds more than {number}" if threshold else "There is a dead letter",
        "no_worker": f"Jobs wait without a worker{time}",
        "paused": f"A queue is paused{time}",
        "scheduler_overdue": f"A job scheduler does not go on{time}",
    }[rule]


class Message:
    """The notifications for one target; a test if there are none. ``place`` says which installation it is."""

    def __init__(self, notifications: Sequence[Notification], place: str, now: int) -> None:
        self.notifications = sorted(notifications, key=lambda each: _ORDER.index(each.kind))
        self.place = place
        self.now = now

    @property
    def subject(self) -> str:
        """One line."""
        if not self.notifications:
            return f"[{self.place}] Test of the alerts"
        first, more = self.notifications[0], len(self.notifications) - 1
        rest = f" and {more} more" if more else ""
        return visible(f"[{self.place}] {_TITLES[first.kind]}: {first.alert.text}{rest}")[:200]

    @property
    def text(self) -> str:
        """One line for each alert."""
        if not self.notifications:
            return f"This is a test of the alerts of {self.place}: nothing is wrong."
        lines = [self._line(each) for each in self.notifications[:MOST_LINES]]
        rest = len(self.notifications) - len(lines)
        return "\n".join([*lines, *([f"and {rest:,} more"] if rest else [])])

    @property
    def payload(self) -> dict[str, Any]:
        """What a webhook gets: every alert with its kind, rule and times."""
        return {
            "version": 1,
            "source": "auth-worker",
            "place": self.place,
            "test": not self.notifications,
            "sentAt": self.now,
            "text": self.text,
            "alerts": [
                {"status": each.kind.replace(" ", "-"), **_fields(each.alert)} for each in self.notifications
            ],
        }

    @property
    def slack_payload(self) -> dict[str, str]:
        """What an incoming webhook of Slack gets. Source: Slack, formatting text for app surfaces."""
        text = f"*{self.subject}*\n{self.text}" if self.notifications else self.text
        return {"text": text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")}

    def _line(self, notification: Notification) -> str:
        alert = notification.alert
        lasted = duration_text((alert.resolved_at or self.now) - alert.since, 2)
        if notification.kind == "resolved":
            return visible(f"Resolved after {lasted}: {alert.text}")
        return visible(f"{_TITLES[notification.kind]}: {alert.text} (for {lasted})")


def _fields(alert: Alert) -> dict[str, Any]:
    return {
        "rule": alert.rule,
        "queue": alert.queue,
        "scheduler": alert.scheduler or None,
        "text": alert.text,
        "since": alert.since,
        "firedAt": alert.fired_at,
        "resolvedAt": alert.resolved_at,
    }
