"""The wheel and the sdist: what is in them, and that the sdist makes the same wheel."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

from auth_worker.version import __version__
from support.distributions import EXTRAS, PROJECT, ROOT, build


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", tmp_path_factory.mktemp("sdist"))


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "src"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    files = {
        name.removeprefix("src/") for name in filter(None, listing.stdout.split("\0")) if (ROOT / name).exists()
    }
    assert {"auth_worker/py.typed", "auth_worker/http/dashboard/templates/base.html"} <= files
    metadata = {name for name in names_in(wheel) if name.startswith(f"auth_worker-{__version__}.dist-info/")}
    assert names_in(wheel) - metadata == files


def test_the_wheel_tells_its_licence_version_and_extras(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        folder = f"auth_worker-{__version__}.dist-info"
        metadata = message_from_bytes(archive.read(f"{folder}/METADATA"))
        assert "auth-worker = auth_worker.cli:main" in archive.read(f"{folder}/entry_points.txt").decode()
    assert (metadata["Version"], metadata["License-Expression"]) == (__version__, PROJECT["license"])
    assert metadata["Requires-Python"] == PROJECT["requires-python"]
    assert set(metadata.get_all("Provides-Extra", ())) == set(EXTRAS)


def test_the_version_stands_in_one_place(wheel: Path) -> None:
    assert "version" in PROJECT["dynamic"]
    assert "version" not in PROJECT
    assert __version__ in wheel.name


def test_the_sdist_makes_the_same_wheel(wheel: Path, sdist: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "made")]
    subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=50)
    (made,) = (tmp_path / "made").iterdir()
    assert names_in(made) == names_in(wheel)
    assert not list(source.rglob("node_modules"))
