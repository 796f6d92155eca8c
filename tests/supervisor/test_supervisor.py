"""The parent's rules that need no processes."""

from __future__ import annotations

import io
import select
import signal

import pytest

from auth_worker.observability.logs import sink
from auth_worker.observability.logs.sink import LineSink
from auth_worker.supervisor.supervisor import worst_exit_code

KILLED, ENDED = -signal.SIGKILL, -signal.SIGTERM


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        ([], 0),
        ([0, 0], 0),
        ([0, 3, 0], 3),
        ([4, 3], 4),
        ([1, 4, 3], 1),
        ([0, KILLED], 3),
        ([0, ENDED], 0),
        ([3, 2], 2),
    ],
)
def test_the_exit_code_is_the_worst_of_the_children(codes: list[int], code: int) -> None:
    assert worst_exit_code(codes) == code


def test_lines_of_several_processes_on_one_pipe_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe takes ``PIPE_BUF`` bytes in one piece; what is longer may be torn apart by another writer."""
    monkeypatch.setattr(sink, "_shared", False)
    sink.share_streams()
    parts: list[str] = []

    class Pipe(io.StringIO):
        def write(self, text: str) -> int:
            parts.append(text)
            return len(text)

    held = LineSink(Pipe())
    lines = [f"{number} {'x' * (number * 37 % 900)}\n" for number in range(200)] + ["y" * 9000 + "\n", "end\n"]
    for line in lines:
        held.write(line)
    held.drain()
    assert "".join(parts) == "".join(lines)
    assert all(part.endswith("\n") for part in parts)
    assert [len(part) for part in parts if len(part) > select.PIPE_BUF] == [9001]
