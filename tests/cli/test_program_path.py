"""What a user types to call this program."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from auth_worker.cli.program_path import program


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with an environment in ``.venv`` that is not on the PATH."""
    scripts = tmp_path / ".venv" / "bin"
    scripts.mkdir(parents=True)
    (scripts / "auth-worker").touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(scripts / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_is_the_path_in_the_current_folder(project: Path) -> None:
    assert program() == ".venv/bin/auth-worker"


def test_it_is_the_name_if_the_path_has_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(project / ".venv" / "bin"))
    assert program() == "auth-worker"


def test_it_is_the_path_if_the_name_is_another_installation(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "auth-worker").touch(mode=0o755)
    assert program() == ".venv/bin/auth-worker"


def test_it_is_the_name_from_any_other_folder(
    project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert program() == "auth-worker"
