"""Settings as they are written: what is around a value in the environment or the file, and the case of choices."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from auth_worker.config import Settings
from auth_worker.errors import ConfigurationError

pytestmark = pytest.mark.usefixtures("bare_environment")
Write = Callable[[str], Path]
AROUND = ("{}\n", "{}\r\n", " \t{} \n\n", "\ufeff{}", "\ufeff {}\n", "{}\u00a0")
KINDS = {
    "redis_url": "unix:///run/redis.sock",
    "prefix": "bull",
    "state_dir": "state",
    "name": "worker-1",
    "http_host": "127.0.0.1",
    "http_port": "9470",
    "http_token": "token",
    "http_tokens": '{"ops": {"token": "other", "role": "reader"}}',
    "dashboard": "false",
    "shutdown_timeout": "2.5",
    "log_level": "WARNING",
    "telemetry": "true",
    "max_payload_bytes": "2048",
    "smtp_security": "tls",
    "email_from": "Ada <ada@example.org>",
}
"""A value of each kind of setting, as a variable has it."""


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("name", KINDS)
def test_what_is_around_a_value_in_the_environment_or_the_file_does_not_matter(
    name: str, around: str, monkeypatch: pytest.MonkeyPatch, toml: Write
) -> None:
    monkeypatch.setenv(f"AUTH_WORKER_{name.upper()}", KINDS[name])
    expected = getattr(Settings(), name)
    monkeypatch.setenv(f"AUTH_WORKER_{name.upper()}", around.format(KINDS[name]))
    assert getattr(Settings(), name) == expected
    monkeypatch.delenv(f"AUTH_WORKER_{name.upper()}")
    if name == "http_tokens":
        written = {key: {part: around.format(text) for part, text in entry.items()} for key, entry in _tokens()}
        toml("".join(f"[http_tokens.{key}]\n" + _table(entry) for key, entry in written.items()))
    else:
        toml(_table({name: around.format(KINDS[name])}))
    assert getattr(Settings(), name) == expected


def _tokens() -> Any:
    return json.loads(KINDS["http_tokens"]).items()


def _table(entry: dict[str, str]) -> str:
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in entry.items())


def test_the_path_of_the_settings_file_may_end_with_a_line_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "other.toml").write_text('name = "other"')
    monkeypatch.setenv("AUTH_WORKER_CONFIG", "other.toml\n")
    assert Settings().name == "other"


@pytest.mark.parametrize("name", KINDS)
def test_a_blank_value_is_refused_by_name(name: str, monkeypatch: pytest.MonkeyPatch, toml: Write) -> None:
    monkeypatch.setenv(f"AUTH_WORKER_{name.upper()}", " \n")
    with pytest.raises(ConfigurationError, match=name):
        Settings()
    monkeypatch.delenv(f"AUTH_WORKER_{name.upper()}")
    toml(f'{name} = " "')
    with pytest.raises(ConfigurationError, match=name):
        Settings()


@pytest.mark.parametrize(
    ("name", "written", "value"),
    [
        ("log_level", "info", "INFO"),
        ("log_format", "JSON", "json"),
        ("smtp_security", "STARTTLS", "starttls"),
        ("sentry", "Off", "off"),
        ("metrics_registry", "Application", "application"),
    ],
)
def test_a_choice_may_be_written_in_any_case(
    name: str, written: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"AUTH_WORKER_{name.upper()}", written)
    assert getattr(Settings(), name) == value
