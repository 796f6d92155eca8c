"""The rules of the house that a machine can measure."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted((ROOT / "src").rglob("*.py"))
CODE = [*MODULES, *sorted(path for top in ("tests", "bench") for path in (ROOT / top).rglob("*.py"))]

# Written in halves, so that this file does not break the rules it keeps.
INDEX_HOSTS = [
    f"{name}.{domain}"
    for name, domain in (
        ("pypi", "org"),
        ("pypi", "python.org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("yarnpkg", "com"),
        ("deb.debian", "org"),
        ("anaconda", "org"),
    )
]
MACHINE_PATHS = [f"/{top}/{rest}" for top, rest in (("work", ""), ("tmp", "w"), ("opt", "pypi"), ("root", ""))]
UNFINISHED = ["TO" + "DO", "FIX" + "ME", "X" * 3]

Function = ast.FunctionDef | ast.AsyncFunctionDef


def module_id(path: Path) -> str:
    return str(path.relative_to(ROOT / "src"))


each_module = pytest.mark.parametrize("path", MODULES, ids=module_id)


def committed_files() -> Iterator[tuple[str, str]]:
    """Name and text of every file that git tracks; what is not text is left out."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    for name in filter(None, listing.stdout.split("\0")):
        try:
            yield name, (ROOT / name).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue


def places(pattern: str) -> list[str]:
    """Where committed files match, as ``file:line: text``."""
    return [
        f"{name}:{number}: {line.strip()[:120]}"
        for name, text in committed_files()
        for number, line in enumerate(text.splitlines(), 1)
        if re.search(pattern, line)
    ]


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def undocumented(node: ast.Module | ast.ClassDef, prefix: str = "") -> Iterator[str]:
    """The public names in ``node`` that have no docstring."""
    for child in node.body:
        if not isinstance(child, ast.ClassDef | Function) or child.name.startswith("_"):
            continue
        decorators = {ast.unparse(decorator).rpartition(".")[2] for decorator in child.decorator_list}
        if not ast.get_docstring(child) and not decorators & {"overload", "override", "setter"}:
            yield prefix + child.name
        if isinstance(child, ast.ClassDef):
            yield from undocumented(child, f"{prefix}{child.name}.")


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_stays_under_300_lines(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines < 300


@each_module
def test_a_function_stays_under_50_lines(path: Path) -> None:
    lengths = {f.name: (f.end_lineno or 0) - f.lineno + 1 for f in functions(ast.parse(path.read_text()))}
    assert {name: length for name, length in lengths.items() if length >= 50} == {}


@each_module
def test_what_is_public_is_documented(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree) or not tree.body, "the module has no docstring"
    assert list(undocumented(tree)) == []


@each_module
def test_nothing_is_left_unfinished(path: Path) -> None:
    assert re.findall(rf"\b(?:{'|'.join(UNFINISHED)})\b", path.read_text()) == []


def test_no_committed_file_names_a_package_index() -> None:
    assert places("|".join(map(re.escape, INDEX_HOSTS))) == []


def test_no_committed_file_names_a_machine_path() -> None:
    assert places(rf"(?<![\w.}}-])(?:{'|'.join(map(re.escape, MACHINE_PATHS))})") == []


def test_the_pinned_requirements_cover_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [name for extra in project["optional-dependencies"].values() for name in extra]
    for wanted, file in ((project["dependencies"], "run.txt"), (extras, "dev.txt")):
        pinned = set(re.findall(r"^([\w.-]+)==", (ROOT / "requirements" / file).read_text(), re.MULTILINE))
        assert {re.split(r"[^\w.-]", name)[0] for name in wanted} <= pinned, "run `make requirements`"


def test_run_and_dev_requirements_pin_the_same_versions() -> None:
    run, dev = (
        dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "requirements" / file).read_text(), re.MULTILINE))
        for file in ("run.txt", "dev.txt")
    )
    assert {name: dev.get(name) for name in run} == run


def test_the_ci_script_can_be_run() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
