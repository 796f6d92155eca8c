"""The settings of alerts: when one begins, and who is told."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, SecretStr

from auth_worker.core.setting_types import Count, Seconds, Secret
from auth_worker.core.worker_config import FrozenModel

MOST_RECIPIENTS = 20


def _checked_url(url: SecretStr) -> SecretStr:
    """Return an address of the web. Raises ``ValueError``, without the value, which may be secret."""
    scheme, separator, rest = url.get_secret_value().partition("://")
    if scheme.lower() not in ("http", "https") or not separator or not rest or " " in rest:
        raise ValueError("must begin with https:// or http://, and have a host")
    return url


WebAddress = Annotated[Secret, AfterValidator(_checked_url)]
MailAddress = Annotated[str, Field(max_length=320, pattern=r"^[^@\s,;<>]+@[^@\s,;<>]+$")]
Pattern = Annotated[str, Field(min_length=1, max_length=1000)]
Threshold = Annotated[Seconds, Field(ge=0)]
RULES = ("oldest_waiting", "failed_per_minute", "dead_letters", "no_worker", "paused", "scheduler_overdue")
"""The rules, each of which is a setting: its threshold."""


class AlertSettings(FrozenModel):
    """When an alert begins, and who is told. A rule without a value is off."""

    model_config = ConfigDict(alias_generator=None)

    oldest_waiting: Threshold | None = Field(None, description="The next job in line has waited for longer (s).")
    failed_per_minute: Count | None = Field(None, ge=0, description="More jobs of a queue failed in a minute.")
    dead_letters: Count | None = Field(None, ge=0, description="A dead-letter queue holds more of them.")
    no_worker: Threshold | None = Field(None, description="Jobs wait, and no worker is there, for longer (s).")
    paused: Threshold | None = Field(None, description="A queue has been paused for longer (s).")
    scheduler_overdue: Threshold | None = Field(
        None, description="A job scheduler has been overdue, stopped or broken for longer (s)."
    )
    ignored_queues: tuple[Pattern, ...] = Field((), description="Queues without alerts; `*` matches anything.")
    repeat: Seconds | None = Field(
        None, ge=60, description="How often an alert that goes on is told again (s). None: only once."
    )
    webhook_url: WebAddress | None = Field(None, description="Where alerts are sent as JSON.")
    webhook_token: Secret | None = Field(None, description="The bearer token that webhook_url wants.")
    slack_url: WebAddress | None = Field(
        None, description="An incoming webhook of Slack, or of what takes the same JSON, such as Mattermost."
    )
    email_to: tuple[MailAddress, ...] = Field(
        (), max_length=MOST_RECIPIENTS, description="Who gets a mail, over the mail server of the settings smtp_*."
    )

    @property
    def thresholds(self) -> dict[str, float]:
        """The thresholds of the rules that are on."""
        return {rule: value for rule in RULES if (value := getattr(self, rule)) is not None}
