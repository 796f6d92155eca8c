"""Secrets from mounted files: surrounding whitespace is stripped, and invalid ones are refused."""

from __future__ import annotations

import json
import traceback
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from auth_worker.config import Settings
from auth_worker.errors import ConfigurationError

pytestmark = pytest.mark.usefixtures("bare_environment")
CANARY = "hunter2-canary"
AROUND = ["{}\n", "{}\r\n", " \t{}  \n\n", "\ufeff{}", "{}\u00a0", "{}\v"]


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("name", ["redis_url", "http_token", "http_read_token", "smtp_password"])
def test_white_space_around_a_secret_is_stripped(
    name: str, around: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    written = around.format(CANARY)
    file = tmp_path / "auth-worker.toml"
    file.write_text(f"{name} = {json.dumps(written)}")
    assert getattr(Settings(), name).get_secret_value() == CANARY
    file.unlink()
    monkeypatch.setenv(f"AUTH_WORKER_{name.upper()}", written)
    assert getattr(Settings(), name).get_secret_value() == CANARY
    for value in (written, SecretStr(written)):
        assert getattr(Settings(**{name: value}), name).get_secret_value() == CANARY


@pytest.mark.parametrize("around", AROUND)
def test_white_space_around_named_tokens_and_what_is_mounted_beside_secrets_is_stripped(
    around: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTH_WORKER_HTTP_TOKENS", json.dumps({"ops": {"token": around.format(CANARY)}}))
    monkeypatch.setenv("AUTH_WORKER_SMTP_USERNAME", around.format("ada"))
    monkeypatch.setenv("AUTH_WORKER_SMTP_HOST", around.format("mail.example"))
    settings = Settings()
    assert settings.access_tokens["ops"].token.get_secret_value() == CANARY
    assert (settings.smtp_username, settings.smtp_host) == ("ada", "mail.example")


@pytest.mark.parametrize(
    "value", ["\n", " ", f"{CANARY}\nx", f"{CANARY}\x7f.", f"{CANARY}\udcff", f"a\tb{CANARY}"]
)
@pytest.mark.parametrize(
    "name", ["redis_url", "http_token", "http_read_token", "smtp_password", "smtp_username", "http_tokens"]
)
def test_a_secret_of_several_lines_is_refused_by_name(name: str, value: str) -> None:
    given: Any = {"ops": {"token": value}} if name == "http_tokens" else value
    with pytest.raises(ConfigurationError, match=f"settings: {name}") as refusal:
        Settings(**{name: given})
    assert CANARY not in "".join(traceback.format_exception(refusal.value))


def test_tokens_that_differ_only_in_whitespace_are_equal() -> None:
    with pytest.raises(ConfigurationError, match="must all differ"):
        Settings(**{"http_token": "a\n", "http_read_token": "a"})
