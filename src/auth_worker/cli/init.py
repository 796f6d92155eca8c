"""``auth-worker init``: writes a small project that can be run at once."""

from __future__ import annotations

import re
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated

import typer

from auth_worker.cli.console import echo, fail, notes, text
from auth_worker.version import __version__

SUFFIX = ".template"


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder; created if it does not exist.")
    ] = Path(),
) -> None:
    """Write a small project to DIR: tasks, a worker, tests, settings, a Compose file. No file is overwritten.

    Example: [bold]auth-worker init shop[/]
    """
    root = folder.absolute()
    contents = {root / name: _filled(content, root.name) for name, content in _templates().items()}
    there = [path for path in contents if path.exists() or path.is_symlink()]
    if there:
        fail(
            f"{folder} has {', '.join(str(path.relative_to(root)) for path in there)} already: nothing is written"
        )
    try:
        for path, content in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(content)
    except OSError as error:
        fail(f"{error.filename} cannot be written: {error.strerror}")
    for path in contents:
        echo(str(folder / path.relative_to(root)))
    where = "" if folder == Path() else f"cd {text(folder)} && "
    notes().print(f"Now: {where}auth-worker run worker:service, and in a second terminal python enqueue.py")


def _templates() -> dict[str, str]:
    """Return the contents of the project's files by their relative paths."""
    found: dict[str, str] = {}
    todo: list[tuple[str, Traversable]] = [("", files("auth_worker.cli") / "project_files")]
    while todo:
        path, entry = todo.pop()
        if entry.is_dir():
            todo += [(f"{path}/{each.name}".lstrip("/"), each) for each in entry.iterdir()]
        elif path.endswith(SUFFIX):
            found[path.removesuffix(SUFFIX)] = entry.read_text(encoding="utf-8")
    return dict(sorted(found.items()))


def _filled(content: str, folder: str) -> str:
    project = re.sub(r"[^a-z0-9]+", "-", folder.lower()).strip("-") or "worker"
    return content.replace("PROJECT", project).replace("VERSION", __version__)
