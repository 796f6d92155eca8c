"""Checks the demo: compares the plan with the counts of the service, the broker and the mail server."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from auth_worker.cli.demo.environment import Outcome
from auth_worker.cli.demo.jobs import Plan
from auth_worker.cli.demo.mail_server import DemoMailServer

DELIVERED, DEAD = "e-mails delivered", "dead letters"
UNFINISHED_STATES = ("wait", "paused", "active", "prioritized", "delayed", "waiting-children")


class Check(NamedTuple):
    """A number that was planned and counted in several places; None where it is not counted."""

    what: str
    planned: int
    service: int | None
    broker: int | None
    mail_server: int | None

    @property
    def holds(self) -> bool:
        """Whether every count is what was planned."""
        return {self.planned, self.service, self.broker, self.mail_server} <= {self.planned, None}

    def __str__(self) -> str:
        places = {"the service": self.service, "the broker": self.broker, "the mail server": self.mail_server}
        wrong = [f"{place} says {count}" for place, count in places.items() if count not in (None, self.planned)]
        return f"{self.what}: planned {self.planned}, but {', '.join(wrong)}"


def make_checks(plan: Plan, ids: list[str], outcome: Outcome, mail: DemoMailServer) -> list[Check]:
    """Return all checks, in the order of a job's life."""
    metrics, counts, dead_letters = outcome.metrics, outcome.counts, outcome.letters
    completed, failed = counts["completed"], counts["failed"]
    unfinished = sum(counts[state] for state in UNFINISHED_STATES)
    right = Counter(str(letter.data.get("reasonClass")) for letter in dead_letters) & plan.dead_letters
    with_our_jobs = {str(letter.data.get("originalJobId")) for letter in dead_letters} & set(ids)
    return [
        Check("jobs added", len(plan.jobs), None, len(set(ids)), None),
        Check("jobs processed", len(plan.jobs), metrics.processed, completed + failed, None),
        Check(DELIVERED, plan.delivered, metrics.completed, completed, len(mail.deliveries)),
        Check("delivered twice", 0, None, None, mail.duplicates),
        Check("deferred by 4xx", plan.deferrals, None, None, sum(mail.deferrals.values())),
        Check("retried", plan.retries, metrics.retried, None, None),
        Check("failed for good", plan.dead_letters.total(), metrics.failed, failed, None),
        Check(DEAD, plan.dead_letters.total(), metrics.dead_lettered, len(with_our_jobs), None),
        Check("with the right reason", plan.dead_letters.total(), None, right.total(), None),
        Check("not finished", 0, metrics.active, unfinished, None),
    ]
