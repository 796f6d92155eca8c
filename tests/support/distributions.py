"""What an extra of the package installs, and environments that hold nothing else.

The packages are those of this environment: nothing is downloaded.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable, Mapping
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: Mapping[str, list[str]] = PROJECT["optional-dependencies"]


def packages_of(*extras: str) -> dict[str, Distribution]:
    """The distributions that ``pip install "auth-worker[extras]"`` installs here, by name, without its own."""
    found: dict[str, Distribution] = {}
    done: set[str] = set()
    todo = [*PROJECT["dependencies"], *(name for extra in extras for name in EXTRAS[extra])]
    while todo:
        text = todo.pop()
        wanted = Requirement(text)
        if text in done or (wanted.marker and not wanted.marker.evaluate()):
            continue
        done.add(text)
        if canonicalize_name(wanted.name) == PROJECT["name"]:
            todo += [name for extra in wanted.extras for name in EXTRAS[extra]]
            continue
        package = distribution(wanted.name)
        found[canonicalize_name(wanted.name)] = package
        todo += [str(need) for need in map(Requirement, package.requires or ()) if _is_wanted(need, wanted.extras)]
    return found


def _is_wanted(need: Requirement, extras: Iterable[str]) -> bool:
    if need.marker is None or need.marker.evaluate({"extra": ""}):
        need.marker = None
        return True
    if any(need.marker.evaluate({"extra": extra}) for extra in extras):
        need.marker = None
        return True
    return False


def size_of(packages: Iterable[Distribution]) -> int:
    """The bytes that ``packages`` take once installed, without bytecode."""
    files = [Path(str(package.locate_file(file))) for package in packages for file in package.files or ()]
    return sum(file.stat().st_size for file in files if file.suffix != ".pyc" and file.is_file())


def build(kind: str, folder: Path) -> Path:
    """Build the ``wheel`` or ``sdist`` of this project into ``folder``; returns its path."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=50)
    (made,) = folder.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return made


def unpack(wheel: Path) -> Path:
    """Install ``wheel`` into a folder beside it; returns that."""
    folder = wheel.parent / "unpacked"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


class Environment:
    """A folder of packages, which Python runs with and no others: those in ``own`` and what ``extras`` install.

    They are links, so that environments with the same ``own`` share its bytecode.
    """

    def __init__(self, folder: Path, own: Path, *extras: str) -> None:
        self.site = folder / "site"
        self.folder = folder
        self.packages = packages_of(*extras)
        self.site.mkdir()
        for part in own.iterdir():
            (self.site / part.name).symlink_to(part)
        for package in self.packages:
            for name, place in _links_of(package).items():
                link = self.site / name
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(place)

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run Python with ``arguments`` in the folder."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AUTH_WORKER_", "COV"))}
        return subprocess.run(
            [sys.executable, "-S", *arguments],
            cwd=self.folder,
            env=kept | {"PYTHONPATH": str(self.site)} | variables,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )


@functools.cache
def _links_of(package: str) -> dict[Path, str]:
    """What an environment links of the package, by the path in the environment.

    Those are its folders; namespaces, which it shares with other packages, file by file.
    """
    found = distribution(package)
    links: dict[Path, str] = {}
    for file in found.files or ():
        if file.parts[0] == ".." or file.suffix == ".pyc":
            continue
        top = Path(str(found.locate_file(file.parts[0])))
        is_namespace = top.is_dir() and top.suffix != ".dist-info" and not (top / "__init__.py").exists()
        name = file if is_namespace else Path(file.parts[0])
        links[Path(name)] = str(found.locate_file(name))
    return links
