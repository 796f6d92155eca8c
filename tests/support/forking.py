"""Programs that fork: run each as a process of its own, since a test's process has threads."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def run(coroutine: Coroutine[Any, Any, T], loop: str = "asyncio") -> T:
    """As ``asyncio.run``, in a loop of that kind."""
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        return runner.run(coroutine)


class Child:
    """A child made by ``os.fork`` that calls ``function``; ``leave`` is how it ends."""

    def __init__(self, function: Callable[[], Any], leave: Callable[[int], Any] = os._exit) -> None:
        self._reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid:
            os.close(writing)
            return
        code = 1
        try:
            os.write(writing, json.dumps(function()).encode())
            os.close(writing)
            code = 0
        except BaseException:
            traceback.print_exc()
        leave(code)

    def result(self) -> Any:
        """What the function returned; blocks until the child has ended."""
        with os.fdopen(self._reading, "rb") as pipe:
            text = pipe.read()
        _, status = os.waitpid(self.pid, 0)
        assert status == 0, f"the child ended with status {status}"
        return json.loads(text)


def program(
    path: Path, *arguments: str, timeout: float = 50, quiet: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run ``path`` in a process of its own; fails unless it ends well and, if ``quiet``, says nothing on stderr.

    A socket or task that is left behind would be told of there.
    """
    command = [sys.executable, "-W", "always::ResourceWarning", str(path), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        output, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # its children too, which hold the pipes
        raise
    assert process.returncode == 0, errors
    assert not quiet or errors == ""
    return subprocess.CompletedProcess(command, process.returncode, output, errors)
