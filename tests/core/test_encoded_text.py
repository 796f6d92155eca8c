"""A byte order mark of UTF-8 is ignored, and one of another encoding is reported."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from auth_worker.cli.add_json_lines import _blocks
from auth_worker.cli.job_option_flags import read_data
from auth_worker.config import Settings
from auth_worker.errors import ConfigurationError


def entries(path: Path, content: bytes) -> list[object]:
    path.write_bytes(content)
    with path.open("rb") as file:
        return [entry["name"] for found, _ in _blocks(file, None) for entry in found]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_lines_may_start_with_a_byte_order_mark(tmp_path: Path, end: bytes) -> None:
    content = codecs.BOM_UTF8 + b'{"name": "a"}' + end
    assert entries(tmp_path / "jobs", content) == ["a"]
    with pytest.raises(ConfigurationError, match="save it as UTF-8"):
        entries(tmp_path / "jobs", content.removeprefix(codecs.BOM_UTF8).decode().encode("utf-16"))


def test_data_may_start_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(codecs.BOM_UTF8 + b'{"n": 1}\r\n')
    assert read_data(f"@{tmp_path / 'data'}") == {"n": 1}


def test_the_settings_may_start_with_a_byte_order_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "auth-worker.toml"
    monkeypatch.setenv("AUTH_WORKER_CONFIG", str(file))
    file.write_bytes(codecs.BOM_UTF8 + b'prefix = "shop"\r\n')
    assert Settings().prefix == "shop"
    file.write_bytes('prefix = "shop"'.encode("utf-16"))
    with pytest.raises(ConfigurationError, match="UTF-8"):
        Settings()
