"""The jobs of the demo, and how each must end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from auth_worker.config import EMAIL_JOB_TYPES
from auth_worker.core.clock import now_ms
from auth_worker.core.outcome import ReasonClass
from auth_worker.queue import BulkJob, JobOptionsDict

GOOD, FLAKY = 200, 5
ATTEMPTS = 3
RETRY_OPTIONS: JobOptionsDict = {"attempts": ATTEMPTS, "backoff": {"type": "exponential", "delay": 150}}
NAMES = ("Ada", "Grace", "Edsger", "Barbara", "Donald", "Margaret", "Alan", "Frances")
FLAKY_DOMAIN = "example.net"
NOBODY, FULL = "nobody", "full"
"""Mailboxes of the demo's mail server: one that does not exist, and one that is always full."""


@dataclass(frozen=True)
class DemoJob:
    """A job to add. ``failure`` is the reason class of its dead letter, None if its e-mail must arrive.

    ``deferrals`` is how often the mail server answers 4xx. ``stored`` are bytes to store instead of its data.
    """

    name: str
    data: Any
    failure: ReasonClass | None = None
    deferrals: int = 0
    stored: bytes | None = None
    options: JobOptionsDict = field(default_factory=JobOptionsDict)

    @property
    def entry(self) -> BulkJob:
        """What ``JobQueue.add_bulk`` takes."""
        return {"name": self.name, "data": self.data, "opts": self.options}


@dataclass(frozen=True)
class Plan:
    """All jobs, and the numbers that they must add up to."""

    jobs: list[DemoJob]

    @property
    def delivered(self) -> int:
        """How many e-mails must arrive."""
        return sum(job.failure is None for job in self.jobs)

    @property
    def retries(self) -> int:
        """How often jobs must be retried. A job is not retried after its last refusal."""
        return sum(job.deferrals - (job.failure is ReasonClass.EXHAUSTED) for job in self.jobs)

    @property
    def deferrals(self) -> int:
        """How often the mail server must answer 4xx."""
        return sum(job.deferrals for job in self.jobs)

    @property
    def dead_letters(self) -> Counter[str]:
        """How many dead letters there must be of each reason class."""
        return Counter(str(job.failure) for job in self.jobs if job.failure is not None)


def make_plan() -> Plan:
    """Return two hundred good jobs, some greylisted ones among them, and at the end those that must fail."""
    good = [_good(number) for number in range(GOOD)]
    for number in range(FLAKY):
        good.insert(20 * (number + 1), _flaky(number))
    return Plan([*good, *_hopeless()])


def job_data(job_type: str, email: str, locale: str = "en", **extra: Any) -> dict[str, Any]:
    """Return the data of an e-mail job: its type, and what that type needs."""
    secret: dict[str, Any] = {
        EMAIL_JOB_TYPES.SEND_VERIFICATION_EMAIL: {"verificationLink": "https://acme.example/verify/9f2c"},
        EMAIL_JOB_TYPES.SEND_PASSWORD_RESET_EMAIL: {"resetLink": "https://acme.example/reset/71ab"},
        EMAIL_JOB_TYPES.SEND_MAGIC_LINK_EMAIL: {"magicLink": "https://acme.example/sign-in/c0de"},
        EMAIL_JOB_TYPES.SEND_ONE_TIME_CODE_EMAIL: {"code": "493 817"},
    }
    name = email.partition("@")[0].partition(".")[0].capitalize()
    content = {"email": email, "name": name, "locale": locale, "expiresInMinutes": 30, **secret[job_type], **extra}
    return {"type": str(job_type), "data": content}


def _good(number: int) -> DemoJob:
    """Return a job of the four types in turn, each in English and German, to two domains."""
    job_type = list(EMAIL_JOB_TYPES)[number % 4]
    locale = ("en", "de")[number // 4 % 2]
    domain = ("example.com", "example.org")[number // 8 % 2]
    email = f"{NAMES[number % 8].lower()}.{number}@{domain}"
    return DemoJob(job_type, job_data(job_type, email, locale))


def _flaky(number: int) -> DemoJob:
    job_type = EMAIL_JOB_TYPES.SEND_VERIFICATION_EMAIL
    data = job_data(job_type, f"{NAMES[number].lower()}.{number}@{FLAKY_DOMAIN}")
    return DemoJob(job_type, data, deferrals=ATTEMPTS - 1, options=RETRY_OPTIONS)


def _hopeless() -> list[DemoJob]:
    verify, reset, sign_in, code = EMAIL_JOB_TYPES
    return [
        DemoJob(reset, job_data(reset, f"{NOBODY}@example.com"), ReasonClass.UNRECOVERABLE),
        DemoJob(
            verify,
            job_data(verify, f"{FULL}@example.org"),
            ReasonClass.EXHAUSTED,
            deferrals=ATTEMPTS,
            options=RETRY_OPTIONS,
        ),
        DemoJob("sendFax", {"type": "sendFax", "data": {"number": "+4930123456"}}, ReasonClass.UNKNOWN_JOB_TYPE),
        DemoJob(
            sign_in,
            job_data(sign_in, "not an address", magicLink="http://evil.example/steal"),
            ReasonClass.INVALID_PAYLOAD,
        ),
        DemoJob(
            verify,
            job_data(verify, "ada@example.com"),
            ReasonClass.INVALID_PAYLOAD,
            stored=b'{"type": "sendVerificationEmail", "data": {"email": "ada@exam',
        ),
        DemoJob(
            code,
            job_data(code, "grace@example.com", expiresAt=now_ms() - 60_000),
            ReasonClass.EXPIRED,
        ),
    ]
