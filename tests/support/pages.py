"""Runs what a page of the documentation shows: its Python, its files and its commands, in their order.

- ``python``: run as it stands, ``await`` too; all blocks of a page share their names.
- ``python title="worker.py"``, and any other language with a title: the file of that name.
- ``console``: lines after ``$`` are run; what is printed must have the lines below, in which ``...`` is
  anything. ``auth-worker run`` and ``dashboard`` go on in the background until the page ends.
- ``console { .install }``: not run, since it would download; its extras must exist.
- ``python { .before }``, the code of another library: must only be Python.
- ``<!-- test: ... -->``: Python that only the test runs; ``until(command, text)`` waits until it prints that.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from support.command_line import run_here
from support.distributions import EXTRAS

ROOT = Path(__file__).resolve().parents[2]
NODE_MODULES = ROOT / "tests" / "interop" / "node_modules"
FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[\w-]+)(?P<options>[^\n]*)\n(?P<text>.*?)^(?P=indent)```$"
    r"|<!-- test:\n(?P<test>.*?)-->",
    re.MULTILINE | re.DOTALL,
)
SERVES = re.compile(r"auth-worker (run|dashboard)\b(?!.*--help)")
PLAIN = re.compile(r"auth-worker [^|&;<>$`]*")
"""A command of ours that needs no shell."""
READY = {"run": "Worker ready", "dashboard": "HTTP port open"}
"""What each says once it is ready."""


class Block(NamedTuple):
    """A block of code: its language (``test`` for what only tests run), options, text, and line in the page."""

    language: str
    options: str
    text: str
    line: int

    @property
    def title(self) -> str | None:
        """The name of the file that the block is."""
        found = re.search(r'title="([^"]+)"', self.options)
        return found[1] if found else None


def blocks_of(page: Path) -> Iterator[Block]:
    """Yield the blocks of ``page`` in their order."""
    text = page.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        line = text.count("\n", 0, found.start()) + 2
        if found["test"] is not None:
            yield Block("test", "", found["test"], line)
        else:
            indent = len(found["indent"])
            body = "".join(row[indent:] if row.strip() else row for row in found["text"].splitlines(keepends=True))
            yield Block(found["language"], found["options"], body, line)


class PageRun:
    """Runs the blocks of ``page`` in ``folder``. Close it in the end."""

    def __init__(self, page: Path, folder: Path) -> None:
        self.page = page
        self.folder = folder
        self.names: dict[str, Any] = {"__name__": "page", "until": self._until}
        self._runner = asyncio.Runner()
        self._background: list[tuple[subprocess.Popen[bytes], Path]] = []

    def run(self) -> None:
        """Run every block."""
        for block in blocks_of(self.page):
            if block.title is not None:
                file = self.folder / block.title
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(block.text, encoding="utf-8")
            elif block.language == "python" and ".before" in block.options:
                ast.parse(block.text)
            elif block.language in ("python", "test"):
                self._execute(block)
            elif block.language == "console" and ".install" in block.options:
                named = {name for names in re.findall(r"\[([\w,]+)\]", block.text) for name in names.split(",")}
                assert named <= set(EXTRAS), f"{self.page}:{block.line}: no such extra"
            elif block.language == "console":
                self._command(block)

    def close(self) -> None:
        """End what runs in the background; a worker must end cleanly."""
        self._runner.close()
        for process, log in self._background:
            os.killpg(process.pid, signal.SIGTERM)
            assert process.wait(30) == 0, log.read_text()

    def _execute(self, block: Block) -> None:
        text = "\n" * (block.line - 1) + block.text
        code = compile(text, str(self.page), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        if code.co_flags & inspect.CO_COROUTINE:
            self._runner.run(self._awaited(code))
        else:
            exec(code, self.names)

    async def _awaited(self, code: Any) -> None:
        await eval(code, self.names)

    def _command(self, block: Block) -> None:
        for command, expected in _commands(block.text):
            place = f"{self.page}:{block.line}: {command}"
            if served := SERVES.search(command):
                self._serve(command, READY[served[1]], place)
                continue
            code, said = self._shell(command)
            assert code == 0, f"{place}\n{said}"
            for line in expected:
                assert _pattern(line).search(_squeezed(said)), f"{place}\nno line {line!r} in\n{said}"

    def _shell(self, command: str) -> tuple[int, str]:
        if PLAIN.fullmatch(command):
            return _run_here(command)
        ran = subprocess.run(
            ["bash", "-euc", command],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env=self._environment(),
        )
        return ran.returncode, ran.stdout + ran.stderr

    def _until(self, command: str, text: str) -> None:
        deadline = time.monotonic() + 60
        while text not in (said := self._shell(command)[1]):
            assert time.monotonic() < deadline, f"{self.page}: {command} does not print {text!r}:\n{said}"
            time.sleep(0.1)

    def _serve(self, command: str, ready: str, place: str) -> None:
        log = self.folder / f"background-{len(self._background)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=self.folder,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env=self._environment(),
            )
        self._background.append((process, log))
        deadline = time.monotonic() + 60
        while ready not in log.read_text():
            assert process.poll() is None, f"{place} has ended:\n{log.read_text()}"
            assert time.monotonic() < deadline, f"{place} is not ready:\n{log.read_text()}"
            time.sleep(0.05)

    def _environment(self) -> dict[str, str]:
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
        return os.environ | {"PATH": path, "PYTHONPATH": "", "COLUMNS": "200"}


def _run_here(command: str) -> tuple[int, str]:
    """Run a command of ours in this process, which spares it its start."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = run_here(*shlex.split(command)[1:])
    return code, said.getvalue()


def _commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each command after ``$``, with its further lines, and the lines that it prints."""
    command: list[str] = []
    expected: list[str] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            if command:
                yield "\n".join(command), expected
            command, expected = [line.removeprefix("$ ")], []
        elif line.startswith("> ") and not expected:
            command.append(line.removeprefix("> "))
        elif line.strip() and line.strip() != "...":
            expected.append(line)
    if command:
        yield "\n".join(command), expected


def _squeezed(text: str) -> str:
    return "\n".join(" ".join(line.split()) for line in text.splitlines())


def _pattern(line: str) -> re.Pattern[str]:
    return re.compile(".*?".join(map(re.escape, re.split(r" ?\.\.\. ?", _squeezed(line)))))
