"""The table of alerts: each field is checked by its name, and no secret is quoted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from auth_worker import ConfigurationError, Settings


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"oldest_waiting": -1}, "alerts.oldest_waiting: "),
        ({"oldest_waiting": "5m"}, "alerts.oldest_waiting: must be a number"),
        ({"failed_per_minute": 1.5}, "alerts.failed_per_minute: "),
        ({"dead_letters": True}, "alerts.dead_letters: must be a number, not a bool"),
        ({"repeat": 5}, "alerts.repeat: "),
        ({"oldest": 5}, "alerts.oldest is not known; did you mean oldest_waiting?"),
        ({"webhook_url": "ftp://s3cret"}, "alerts.webhook_url: must begin with https:// or http://"),
        ({"slack_url": " "}, "alerts.slack_url: must not be blank"),
        ({"email_to": ["ops"]}, "alerts.email_to.0: "),
        ({"email_to": "ops@example.com"}, "alerts.email_to: "),
        ({"ignored_queues": [""]}, "alerts.ignored_queues.0: "),
        (5, "alerts: "),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(table: Any, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_WORKER_ALERTS", json.dumps(table))
    with pytest.raises(ConfigurationError) as refused:
        Settings()
    assert said in str(refused.value)
    assert "s3cret" not in str(refused.value)


def test_the_variable_is_a_table_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_WORKER_ALERTS", '{"no_worker": 60, "slack_url": "https://hooks.example.com/s3cret"}')
    settings = Settings()
    assert settings.alerts.thresholds == {"no_worker": 60}
    assert "s3cret" not in repr(settings)
    monkeypatch.setenv("AUTH_WORKER_ALERTS", "no_worker=60")
    with pytest.raises(ConfigurationError, match="alerts is a table: write it as JSON"):
        Settings()
