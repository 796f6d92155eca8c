"""Whether the demo adds up: what was planned, beside what service, broker and mail server say of it."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from auth_worker.cli.demo.jobs import Plan
from auth_worker.cli.demo.mail_server import DemoMailServer
from auth_worker.cli.demo.story import Ending

DELIVERED, DEAD = "mails delivered", "dead letters"
STATES_OF_WORK_LEFT = ("wait", "paused", "active", "prioritized", "delayed", "waiting-children")


class Check(NamedTuple):
    """One thing, counted in several places; None where a place cannot know it."""

    what: str
    planned: int
    service: int | None
    broker: int | None
    mail_server: int | None

    @property
    def holds(self) -> bool:
        """Whether every place says what was planned."""
        return {self.planned, self.service, self.broker, self.mail_server} <= {self.planned, None}

    def __str__(self) -> str:
        places = {"the service": self.service, "the broker": self.broker, "the mail server": self.mail_server}
        wrong = [f"{place} says {count}" for place, count in places.items() if count not in (None, self.planned)]
        return f"{self.what}: planned {self.planned}, but {', '.join(wrong)}"


def checks(plan: Plan, ids: list[str], ending: Ending, mail: DemoMailServer) -> list[Check]:
    """Compare all that can be compared."""
    metrics, counts, letters = ending.metrics, ending.counts, ending.letters
    completed, failed = counts["completed"], counts["failed"]
    left = sum(counts[state] for state in STATES_OF_WORK_LEFT)
    right = Counter(str(letter.data.get("reasonClass")) for letter in letters) & plan.letters
    of_our_jobs = {str(letter.data.get("originalJobId")) for letter in letters} & set(ids)
    return [
        Check("jobs added", len(plan.jobs), None, len(set(ids)), None),
        Check("jobs processed", len(plan.jobs), metrics.processed, completed + failed, None),
        Check(DELIVERED, plan.delivered, metrics.completed, completed, len(mail.deliveries)),
        Check("delivered twice", 0, None, None, mail.duplicates),
        Check("put off by 4xx", plan.deferrals, None, None, sum(mail.deferrals.values())),
        Check("tried again", plan.retries, metrics.retried, None, None),
        Check("failed for good", plan.letters.total(), metrics.failed, failed, None),
        Check(DEAD, plan.letters.total(), metrics.dead_lettered, len(of_our_jobs), None),
        Check("for the right reason", plan.letters.total(), None, right.total(), None),
        Check("still to be done", 0, metrics.active, left, None),
    ]
