"""``auth-worker add``: the flags decide what is stored in Redis."""

from __future__ import annotations

import io
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import redis

from auth_worker.queue import JobOptions
from support.command_line import Terminal, environment, run_here, run_program
from support.servers import free_port
from support.warm_programs import PROGRAM


def stored(client: redis.Redis, job_id: str) -> dict[str, Any]:
    """Return a job's data and options as stored in Redis."""
    job = client.hgetall(f"bull:tasks:{job_id}")
    return {"name": job["name"], "data": json.loads(job["data"]), "opts": json.loads(job["opts"])}


def add(redis_url: str, capsys: pytest.CaptureFixture[str], *arguments: object) -> list[str]:
    assert run_here("add", "tasks", *arguments, "--redis", redis_url) == 0, capsys.readouterr().err
    return capsys.readouterr().out.splitlines()


# One job


def test_its_id_is_printed_and_names_the_job(
    client: redis.Redis, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (job_id,) = add(redis_url, capsys, "count", "--data", '{"to": 3, "ünïcode": "✓"}')
    assert client.lrange("bull:tasks:wait", 0, -1) == [job_id]
    assert stored(client, job_id)["name"] == "count"
    assert stored(client, job_id)["data"] == {"to": 3, "ünïcode": "✓"}


def test_json_output_is_json(client: redis.Redis, redis_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = add(redis_url, capsys, "count", "--job-id", "my-job", "--json")
    assert json.loads(line) == {"queue": "tasks", "name": "count", "id": "my-job", "created": True}
    assert stored(client, "my-job")["data"] == {}


def test_what_was_there_already_is_told(
    client: redis.Redis, redis_url: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = "".join(json.dumps({"name": "n", "opts": {"jobId": job_id}}) + "\n" for job_id in ("a", "b", "c"))
    (folder / "jobs.jsonl").write_text(lines)
    told = []
    for arguments in (["n", "--job-id", "a"], ["n", "--job-id", "a"], ["--lines", "jobs.jsonl"]):
        assert run_here("add", "tasks", *arguments, "--redis", redis_url) == 0
        told.append("already" in capsys.readouterr().err)
    assert told == [False, True, True]
    assert client.llen("bull:tasks:wait") == 3


def test_data_comes_from_a_file_or_stdin(
    client: redis.Redis,
    redis_url: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (folder / "data.json").write_text('{"from": "file"}')
    (job_id,) = add(redis_url, capsys, "count", "--data", "@data.json")
    assert stored(client, job_id)["data"] == {"from": "file"}
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'["from stdin"]')))
    (job_id,) = add(redis_url, capsys, "count", "--data", "-")
    assert stored(client, job_id)["data"] == ["from stdin"]


OPTIONS: dict[str, dict[str, Any]] = {
    "--delay 250ms": {"delay": 250},
    "--delay 10s": {"delay": 10_000},
    "--delay 1.5m": {"delay": 90_000},
    "--delay 2h": {"delay": 7_200_000},
    "--delay 1d": {"delay": 86_400_000},
    "--delay 70": {"delay": 70},
    "--attempts 7": {"attempts": 7},
    "--backoff 3s": {"backoff": {"type": "fixed", "delay": 3000}},
    "--backoff exponential:1s": {"backoff": {"type": "exponential", "delay": 1000}},
    "--backoff fixed:2s:0.5": {"backoff": {"type": "fixed", "delay": 2000, "jitter": 0.5}},
    '--backoff {"type":"fixed","delay":9}': {"backoff": {"type": "fixed", "delay": 9}},
    "--priority 3": {"priority": 3},
    "--lifo": {"lifo": True},
    "--timestamp 1700000000000": {"timestamp": 1_700_000_000_000},
    "--remove-on-complete true": {"removeOnComplete": True},
    "--remove-on-complete 50": {"removeOnComplete": 50},
    "--remove-on-fail false": {"removeOnFail": False},
    "--remove-on-fail 24h": {"removeOnFail": {"age": 86_400}},
    '--remove-on-fail {"count":5,"age":60}': {"removeOnFail": {"count": 5, "age": 60}},
    "--keep-logs 4": {"kl": 4},
    "--stack-trace-limit 2": {"stackTraceLimit": 2},
    "--size-limit 1000": {},
    "--deduplication once": {"de": {"id": "once"}},
    '--deduplication {"id":"once","ttl":500}': {"de": {"id": "once", "ttl": 500}},
    "--telemetry-metadata 00-trace": {"tm": "00-trace"},
    "--omit-context": {"omc": True},
}


@pytest.mark.parametrize("flag", OPTIONS)
def test_every_option_is_stored_as_bullmq_has_it(
    client: redis.Redis, redis_url: str, capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    (job_id,) = add(redis_url, capsys, "count", *flag.split(" "))
    opts = stored(client, job_id)["opts"]
    if "backoff" in opts and isinstance(opts["backoff"], int):
        opts["backoff"] = {"type": "fixed", "delay": opts["backoff"]}
    for name, value in OPTIONS[flag].items():
        found = opts[name]
        if isinstance(value, dict):
            found = {key: found[key] for key in value}
        assert found == value


def test_a_child_is_added_to_its_parent(
    client: redis.Redis, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    add(redis_url, capsys, "parent", "--job-id", "mother")
    parent = json.dumps({"id": "mother", "queue": "bull:tasks"})
    (child,) = add(redis_url, capsys, "child", "--parent", parent, "--fail-parent-on-failure")
    assert client.smembers("bull:tasks:mother:dependencies") == {f"bull:tasks:{child}"}
    assert stored(client, child)["opts"]["fpof"] is True


def test_every_job_option_has_a_flag(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here("add", "--help") == 0
    shown = capsys.readouterr().out
    assert [name for name in JobOptions.model_fields if f"--{name.replace('_', '-')}" not in shown] == []


# Many jobs


def write_lines(path: Path, *lines: object) -> Path:
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return path


def test_each_line_is_a_job_and_flags_hold_where_it_says_nothing(
    client: redis.Redis, redis_url: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_lines(
        folder / "jobs.jsonl",
        {"name": "own", "data": {"number": 1}, "opts": {"removeOnComplete": True, "jobId": "first"}},
        "",
        {"data": 2},
        {"opts": {"attempts": 9}},
    )
    flags = ("--attempts", 4, "--remove-on-complete", 10)
    ids = add(redis_url, capsys, "given", "--lines", file, *flags)
    first, second, third = (stored(client, job_id) for job_id in ids)
    assert ids[0] == "first"
    assert [job["name"] for job in (first, second, third)] == ["own", "given", "given"]
    assert [job["data"] for job in (first, second, third)] == [{"number": 1}, 2, {}]
    assert [job["opts"]["attempts"] for job in (first, second, third)] == [4, 4, 9]
    assert [job["opts"]["removeOnComplete"] for job in (first, second, third)] == [True, 10, 10]


def test_a_wrong_line_in_a_file_adds_nothing_and_is_named(
    client: redis.Redis, redis_url: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = {
        "{": "not JSON",
        "[1]": "a job reads",
        '{"nam": "x"}': "a job reads",
        '{"data": 1}': "the job has no name",
        '{"name": "x", "opts": [1]}': "opts is not an object",
        '{"name": "x", "opts": {"delay": -1}}': "delay",
        '{"name": "x", "opts": {"jobId": "wait"}}': "is a key of the queue itself",
    }
    for line, message in wrong.items():
        file = write_lines(folder / "jobs.jsonl", {"name": "fine"}, line)
        assert run_here("add", "tasks", "--lines", file, "--redis", redis_url) == 1
        said = capsys.readouterr().err
        assert said.startswith("error: line 2: ")
        assert message in said
    assert client.keys("bull:tasks:*") == []


def test_stdin_is_added_as_it_comes_and_an_error_says_how_far(
    client: redis.Redis, redis_url: str, folder: Path
) -> None:
    command = [str(PROGRAM), "add", "tasks", "--lines", "-", "--redis", redis_url, "--json"]
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write('{"name": "one"}\n')
        process.stdin.flush()
        first = json.loads(process.stdout.readline())
        assert client.exists(f"bull:tasks:{first['id']}")
        _, said = process.communicate("nonsense", timeout=30)
    assert process.returncode == 1
    assert "line 2: not JSON" in said
    assert "(jobs added before: 1)" in said


def test_many_jobs_at_a_terminal_show_their_progress_and_no_ids(
    client: redis.Redis, redis_url: str, folder: Path
) -> None:
    write_lines(folder / "jobs.jsonl", *({"name": "n", "data": "x" * 1000} for _ in range(3000)))
    with Terminal(folder, "add", "tasks", "--lines", "jobs.jsonl", "--redis", redis_url) as terminal:
        assert terminal.end() == 0
    assert client.llen("bull:tasks:wait") == 3000
    assert "Jobs added to tasks: 3000" in terminal.screen
    assert "100%" in terminal.screen
    assert str(client.lindex("bull:tasks:wait", 0)) not in terminal.screen


# Where it goes, and what is refused


def test_without_a_redis_it_waits_in_the_embedded_broker_for_a_worker(folder: Path) -> None:
    added = run_program(folder, "add", "tasks", "count", "--job-id", "kept", state_dir="state")
    assert added.stdout == "kept\n"
    assert "No worker runs on" in added.stderr
    again = run_program(folder, "add", "tasks", "count", "--deduplication", "x", "--state-dir", "state")
    assert again.returncode == 0


def test_an_unreachable_redis_exits_with_4(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"redis://127.0.0.1:{free_port()}"
    assert run_here("add", "tasks", "x", "--redis", url, "--timeout", "300ms") == 4
    assert capsys.readouterr().err.startswith(f"error: cannot connect to {url}/0 within 0.3 s")


WRONG = {
    "no name": (["tasks"], "give the job a NAME"),
    "a queue that cannot be": (["a:b", "x"], "QUEUE must be"),
    "no JSON": (["tasks", "x", "--data", "{"], "--data is not JSON"),
    "NaN": (["tasks", "x", "--data", "NaN"], "--data is not JSON"),
    "a missing file": (["tasks", "x", "--data", "@missing.json"], "missing.json cannot be read: No such file"),
    "an id of digits": (["tasks", "x", "--job-id", "12"], "is a whole number"),
    "a wrong delay": (["tasks", "x", "--delay", "soon"], "'soon' is not a duration"),
    "a wrong backoff": (["tasks", "x", "--backoff", "never:1s"], "'never' is not fixed or exponential"),
    "a wrong jitter": (["tasks", "x", "--backoff", "fixed:1s:lots"], "the jitter 'lots' is not a number"),
    "a wrong parent": (["tasks", "x", "--parent", "{"], "is not JSON"),
    "a wrong priority": (["tasks", "x", "--priority", "-1"], "priority"),
    "an id for many": (["tasks", "--lines", "x", "--job-id", "one"], "leave out --data and --job-id"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_command_line_exits_with_2_and_a_message(
    folder: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    arguments, message = WRONG[case]
    assert run_here("add", *arguments) == 2
    assert message in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert not (folder / ".auth-worker").exists()


def test_a_missing_file_of_lines_is_reported_in_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here("add", "tasks", "--lines", "missing.jsonl", "--state-dir", "state") == 1
    assert "missing.jsonl cannot be read: No such file" in capsys.readouterr().err


def test_a_jobs_name_is_no_setting_and_may_have_blanks(
    client: redis.Redis, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (job_id,) = add(redis_url, capsys, "count to three", "--data", "{}")
    assert stored(client, job_id)["name"] == "count to three"


def test_a_byte_order_mark_is_no_part_of_the_data(
    client: redis.Redis, redis_url: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = '\ufeff{"name": "x", "data": {"from": "file"}}\r\n'
    (folder / "jobs.jsonl").write_text(f"{line}\ufeff\r\n{line}", encoding="utf-8", newline="")
    ids = add(redis_url, capsys, "--lines", "jobs.jsonl")
    ids += add(redis_url, capsys, "x", "--data", '\ufeff{"from": "file"}\n')
    assert [stored(client, job_id)["data"] for job_id in ids] == [{"from": "file"}] * 3
    (folder / "jobs.jsonl").write_text(line, encoding="utf-16")
    assert run_here("add", "tasks", "--lines", "jobs.jsonl", "--redis", redis_url) == 1
    assert "line 1: it is UTF-16 or UTF-32: save it as UTF-8" in capsys.readouterr().err
