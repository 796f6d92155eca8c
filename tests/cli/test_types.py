"""``auth-worker types``: TypeScript and JSON Schema of an application's tasks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from auth_worker.tasks.json_schema import json_schema
from auth_worker.tasks.typescript import typescript
from support import wire_types
from support.command_line import Run, run_here

SCHEMA = json_schema([wire_types.queue])


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command line in this process, without a broker: exit code, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code = run_here(*arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_the_command_writes_both_forms_for_a_queue_and_a_service(run: Run) -> None:
    for target in ("support.wire_types:queue", "support.wire_types:service"):
        assert run("types", target) == run("types", target, "--ts") == (0, typescript(SCHEMA), "")
        code, out, err = run("types", target, "--json-schema")
        assert (code, json.loads(out), err) == (0, SCHEMA, "")
    assert run("types", "support.wire_types:queue", "-o", "tasks.ts") == (0, "", "")
    assert Path("tasks.ts").read_text() == typescript(SCHEMA)


@pytest.mark.parametrize(
    ("target", "error"),
    [
        ("support.wire_types:Size", "is a type: it must be a WorkerService or a TaskQueue"),
        ("support.wire_types:other", "support.wire_types:other includes no TaskQueue"),
        ("support.wire_types:queue -o missing/file.ts", "missing/file.ts cannot be written: No such file"),
    ],
)
def test_the_command_says_what_is_wrong(run: Run, target: str, error: str) -> None:
    code, out, err = run("types", *target.split())
    assert (code, out) == (1, "")
    assert error in err
