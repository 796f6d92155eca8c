"""``auth-worker init``: a project that works as it stands."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from auth_worker.version import __version__
from support.command_line import Worker, environment, run_here, run_program

ROOT = Path(__file__).resolve().parents[2]
FILES = {
    *(".gitignore", "Dockerfile", "README.md", "auth-worker.toml", "compose.yaml", "enqueue.py", "pyproject.toml"),
    *("tasks.py", "tests/test_tasks.py", "worker.py"),
}


def files_in(folder: Path) -> set[str]:
    """The files of a folder, by their paths in it."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def run_python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the project, as its user does."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def project(folder: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A new project."""
    assert run_here("init", "My Shop") == 0
    assert set(capsys.readouterr().out.splitlines()) == {f"My Shop/{name}" for name in FILES}
    return folder / "My Shop"


@pytest.mark.timeout(300)
def test_its_tests_pass_its_worker_runs_and_its_style_is_ours(project: Path) -> None:
    assert files_in(project) == FILES
    tests = run_python(project, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error")
    assert tests.returncode == 0, tests.stdout + tests.stderr
    assert "5 passed" in tests.stdout
    worker = Worker(project, "worker:service", "--http-port", "none")
    try:
        enqueued = run_python(project, "-W", "error", "enqueue.py")
        assert enqueued.stdout == "sent by attempt 1\n6 words\n", enqueued.stderr
        assert (project / "outbox" / "welcome-ada.txt").read_text() == "Welcome, Ada!"
        types = run_program(project, "types", "worker:service")
        assert "count_words" in types.stdout
    finally:
        assert worker.end() == 0
    style = run_python(
        project, "-m", "ruff", "check", "--isolated", "--select", "E,F,I,UP,B", "--line-length", "115", "."
    )
    assert style.returncode == 0, style.stdout
    cache = ("--cache-dir", str(ROOT / ".mypy_cache" / "projects"))
    typed = run_python(project, "-m", "mypy", "--strict", *cache, "tasks.py", "worker.py", "enqueue.py")
    assert typed.returncode == 0, typed.stdout


def test_it_is_named_after_its_folder_and_its_files_can_be_read(project: Path) -> None:
    assert tomllib.loads((project / "pyproject.toml").read_text())["project"]["name"] == "my-shop"
    assert (project / "README.md").read_text().startswith("# my-shop\n")
    assert f"FROM auth-worker:{__version__}\n" in (project / "Dockerfile").read_text()
    compose = yaml.safe_load((project / "compose.yaml").read_text())
    assert compose["services"]["worker"]["environment"]["AUTH_WORKER_REDIS_URL"] == "redis://redis:6379"
    assert tomllib.loads((project / "auth-worker.toml").read_text()) == {"shutdown_timeout": 25}


def test_no_file_is_overwritten_and_then_none_is_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "tasks.py").write_text("mine")
    (folder / "worker.py").symlink_to("nowhere")
    assert run_here("init") == 1
    assert "has tasks.py, worker.py already: nothing is written" in capsys.readouterr().err
    assert files_in(folder) == {"tasks.py"}
    assert (folder / "tasks.py").read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "file").write_text("")
    assert run_here("init", "file/project") == 1
    assert "file/project cannot be written: Not a directory" in capsys.readouterr().err
