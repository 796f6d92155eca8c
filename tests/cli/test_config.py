"""``auth-worker config show``: every setting, where it is set, and no secret."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.text import Text

from auth_worker.cli.config import COLUMNS
from auth_worker.cli.listing import Listing
from auth_worker.config import Settings
from support.command_line import run_here

SECRETS = {
    "AUTH_WORKER_REDIS_URL": "redis://ada:s3cret-one@127.0.0.1:6390/2",
    "AUTH_WORKER_HTTP_TOKENS": '{"ops": {"token": "s3cret-two-12345", "role": "reader"}}',
    "AUTH_WORKER_SMTP_PASSWORD": "s3cret-three",
}


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What the command prints with ``--json``, where a file, variables and defaults set things."""
    (tmp_path / "worker.toml").write_text('prefix = "from-file"\nname = "from-file"\n')
    for name, value in {**SECRETS, "AUTH_WORKER_CONFIG": "", "auth_worker_name": "from-variable"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AUTH_WORKER_LOG_LEVEL", "")
    assert run_here("config", "show", "--json", "--config", tmp_path / "worker.toml") == 0
    return capsys.readouterr().out


def test_every_setting_has_a_description() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_each_value_comes_from_where_the_settings_take_it(shown: str, tmp_path: Path) -> None:
    rows = {row["name"]: row for row in map(json.loads, shown.splitlines())}
    assert list(rows) == list(Settings.model_fields)
    assert {name: (rows[name]["value"], rows[name]["source"]) for name in ("prefix", "name", "log_level")} == {
        "prefix": ("from-file", f"prefix in {tmp_path / 'worker.toml'}"),
        "name": ("from-variable", "auth_worker_name"),
        "log_level": ("INFO", "default"),
    }
    assert rows["shutdown_timeout"]["value"] == 25


def test_no_secret_is_shown_and_what_is_beside_it_is(shown: str) -> None:
    rows = {row["name"]: row["value"] for row in map(json.loads, shown.splitlines())}
    assert "s3cret" not in shown
    assert rows["redis_url"] == "redis://127.0.0.1:6390/2"
    assert rows["http_tokens"] == {"ops": {"token": "***", "role": "reader"}}
    assert rows["smtp_password"] == "***"


def test_the_table_fits_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert run_here("config", "show", "--wide") == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].split() == ["SETTING", "VALUE", "SET", "BY", "WHAT", "IT", "IS"]
    assert "dead_letter_max_age    7776000 " in out


def test_a_wrong_setting_is_refused_as_everywhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AUTH_WORKER_PREFIXX", "x")
    assert run_here("config", "show") == 1
    assert "AUTH_WORKER_PREFIX" in capsys.readouterr().err


def test_the_name_of_a_setting_is_never_shortened() -> None:
    listing = Listing(*COLUMNS)
    for name in Settings.model_fields:
        listing.add(name, "x" * 90, "default", "y" * 90)
    fitted = listing.fit(80)
    assert fitted.width <= 80
    assert fitted.shortened
    assert list(fitted.table.columns[0].cells) == list(map(Text, Settings.model_fields))
