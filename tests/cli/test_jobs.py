"""``auth-worker jobs``, ``job``, ``retry``, ``promote``, ``remove``, ``cancel``, ``change``."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis

from support.command_line import Run
from support.prepared_queues import SECRET, add, die
from support.processors import DEAD, QUEUE


def found(run: Run, *arguments: object) -> list[dict[str, Any]]:
    code, out, said = run("jobs", QUEUE, "--json", *arguments)
    assert code == 0, said
    return [json.loads(line) for line in out.splitlines()]


# Looking


def test_jobs_of_every_state_are_listed_failed_ones_first(run: Run, redis_url: str) -> None:
    die(redis_url, 2)
    add(redis_url, 2)
    add(redis_url, 1, "late", delay=3_600_000)
    code, out, said = run("jobs", QUEUE)
    assert code == 0
    lines = out.splitlines()
    assert lines[0].split() == ["JOB", "NAME", "STATE", "AGE", "ATTEMPTS", "RAN", "DATA", "DETAIL"]
    assert [line.split()[2] for line in lines[1:]] == ["failed", "failed", "wait", "wait", "delayed"]
    assert "due in 59m" in lines[-1]
    assert "1/4" in lines[1]
    assert SECRET not in out
    assert "2 failed · 2 wait · 1 delayed" in said


def test_what_a_producer_wrote_cannot_control_the_terminal(run: Run, client: redis.Redis, redis_url: str) -> None:
    (job_id,) = add(redis_url, 1, "red\x1b[31m\x1b]0;title\x07\x9b2J")
    client.hset(f"bull:{QUEUE}:{job_id}", "progress", json.dumps({"step": "\x9b2J", "of": 3}))
    for arguments in (("jobs", QUEUE), ("job", QUEUE, job_id), ("job", QUEUE, job_id, "--reveal")):
        code, out, _ = run(*arguments)
        assert code == 0
        assert "red\\x1b[31m\\x1b]0;title\\x07\\x9b2J" in out
        assert not {"\x1b", "\x07", "\x9b"} & set(out)
    assert '"of": 3' in out, "JSON, as everything else"


def test_jobs_are_found_by_state_id_name_and_data(run: Run, redis_url: str) -> None:
    ids = add(redis_url, 5)
    (other,) = add(redis_url, 1, "text")
    assert [job["id"] for job in found(run, "--state", "waiting")] == [*ids, other]
    assert [job["id"] for job in found(run, "--name", "te*")] == [other]
    assert [job["id"] for job in found(run, "--id", ids[2])] == [ids[2]]
    assert [job["id"] for job in found(run, "--where", "data.user.id=3")] == [ids[3]]
    assert found(run, "--where", "data.user.id=3", "--where", "user.id=4") == []
    assert len(found(run, "-n", 2)) == 2
    assert [job["id"] for job in found(run, "-s", "wait", "--offset", 4)] == [ids[4], other]
    assert run("jobs", QUEUE, "--name", "nobody")[2] == "No job matches.\n"


def test_a_search_reports_how_far_it_looked(run: Run, redis_url: str) -> None:
    add(redis_url, 30)
    said = run("jobs", QUEUE, "--name", "x", "--scan", 10)[2]
    assert "searched 10 of 30 wait: continue with --state wait --offset 10" in said


@pytest.mark.parametrize(
    ("flags", "remedy"),
    [
        (("--state", "runing"), "no state: there are wait"),
        (("--where", "user"), "write data.user.id=12"),
        (("--older", "long"), "is not a duration"),
    ],
)
def test_contradictory_flags_exit_with_2(run: Run, redis_url: str, flags: tuple[str, ...], remedy: str) -> None:
    code, _, said = run("jobs", QUEUE, *flags)
    assert code == 2
    assert remedy in " ".join(said.replace("│", " ").split())


def test_a_job_is_shown_whole_and_masked(run: Run, redis_url: str) -> None:
    (job_id,) = die(redis_url, 1, data={"email": "ada@example.org"})
    code, out, _ = run("job", QUEUE, job_id)
    assert code == 0
    for part in (
        "failed",
        "1 of 4, starts 1",
        '"email": "<text of 15>"',
        "trying mail",
        "Traceback",
        "letter",
    ):
        assert part in out, part
    assert SECRET not in out
    code, out, _ = run("job", QUEUE, job_id, "--json", "--reveal", "--logs")
    shown = json.loads(out)
    assert shown["data"] == {"n": 0, "email": "ada@example.org"}
    assert SECRET in shown["failedReason"]
    assert shown["logs"] == ["trying mail"]
    assert shown["opts"]["attempts"] == 4


def test_a_completed_job_shows_its_result_and_children(run: Run, client: redis.Redis, redis_url: str) -> None:
    (job_id,) = add(redis_url, 1)
    client.lrem(f"bull:{QUEUE}:wait", 1, job_id)
    client.zadd(f"bull:{QUEUE}:completed", {job_id: 1})
    client.hset(f"bull:{QUEUE}:{job_id}", mapping={"returnvalue": '{"sent": true}', "parentKey": "bull:up:one"})
    client.sadd(f"bull:{QUEUE}:{job_id}:dependencies", "bull:down:two")
    client.rpush(f"bull:{QUEUE}:{job_id}:logs", *(f"line {number}" for number in range(9)))
    out = run("job", QUEUE, job_id)[1]
    for part in ("result", '"sent": "<true or false>"', "bull:up:one", "1 pending", "bull:down:two", "line 8"):
        assert part in out, part
    assert "(4 earlier lines; --logs shows all)" in out
    assert "line 0" not in out
    assert "line 0" in run("job", QUEUE, job_id, "--logs")[1]


def test_a_missing_job_is_reported_with_where_it_is(run: Run, redis_url: str) -> None:
    (job_id,) = add(redis_url, 1)
    code, _, said = run("job", "other", job_id)
    assert (code, said) == (1, f"error: there is no job {job_id} in queue other; there is one in {QUEUE}\n")


# Acting


def test_failed_jobs_are_retried(run: Run, client: redis.Redis, redis_url: str) -> None:
    ids = die(redis_url, 5)
    assert run("retry", QUEUE, ids[0])[:2] == (0, "retried 1 job\n")
    assert run("retry", QUEUE, "--error", "mail refused", "--dry-run")[1] == "would retry 4 jobs\n"
    assert run("retry", QUEUE, "--where", "n=1")[1] == "retried 1 job\n"
    code, out, _ = run("retry", QUEUE, "--all", "--json")
    assert (code, json.loads(out)["done"]) == (0, 3)
    assert client.llen(f"bull:{QUEUE}:wait") == 5
    assert client.llen(f"bull:{DEAD}:wait") == 0, "their letters went with them"
    code, out, said = run("retry", QUEUE, ids[0], "nobody")
    assert (code, out) == (1, "retried 0 jobs\n")
    assert f"{ids[0]}: only failed and completed jobs can be retried" in said
    assert "nobody: there is no such job" in said


def test_delayed_jobs_are_promoted(run: Run, client: redis.Redis, redis_url: str) -> None:
    ids = add(redis_url, 3, delay=60_000)
    assert run("promote", QUEUE, ids[1])[:2] == (0, "promoted 1 job\n")
    assert run("promote", QUEUE, "--name", "mail")[:2] == (0, "promoted 2 jobs\n")
    assert client.llen(f"bull:{QUEUE}:wait") == 3


def test_removing_needs_a_state_and_a_confirmation(run: Run, client: redis.Redis, redis_url: str) -> None:
    ids = add(redis_url, 4)
    code, _, said = run("remove", QUEUE, "--all")
    assert code == 2
    assert "--state" in said
    code, _, said = run("remove", QUEUE, ids[0])
    assert code == 2
    assert "Remove 1 jobs" in said
    assert run("remove", QUEUE, ids[0], "-y")[:2] == (0, "removed 1 job\n")
    assert (
        run("remove", QUEUE, "--state", "wait", "--where", "user.id=2", "--dry-run")[1] == "would remove 1 job\n"
    )
    assert run("remove", QUEUE, "--state", "wait", "--all", "-y")[:2] == (0, "removed 3 jobs\n")
    assert not client.exists(*(f"bull:{QUEUE}:{job_id}" for job_id in ids))


def test_jobs_are_cancelled_by_id_or_by_what_matches(run: Run, client: redis.Redis, redis_url: str) -> None:
    ids = add(redis_url, 3, delay=60_000)
    assert run("cancel", QUEUE, ids[0], "--reason", "wrong list")[:2] == (0, "cancelled 1 job\n")
    assert client.hget(f"bull:{QUEUE}:{ids[0]}", "failedReason") == "job was cancelled: wrong list"
    matching = ("cancel", QUEUE, "--state", "delayed", "--name", "mail")
    assert run(*matching, "--dry-run")[:2] == (0, "would cancel 2 jobs\n")
    assert run(*matching, "--yes")[:2] == (0, "cancelled 2 jobs\n")
    code, out, problems = run("cancel", QUEUE, ids[0])
    assert (code, out) == (1, "cancelled 0 jobs\n")
    assert "it has finished" in problems


def test_jobs_are_moved_to_the_dead_letters(run: Run, client: redis.Redis, redis_url: str) -> None:
    waiting, kept, *_ = add(redis_url, 3)
    (gone,) = add(redis_url, 1, remove_on_fail=True)
    move = ("dead-letter", QUEUE, waiting, "--reason", "wrong list")
    code, _, said = run(*move)
    assert (code, f"name the dead-letter queue (to): no queue holds dead letters of {QUEUE}" in said) == (1, True)
    assert "to is" in run(*move, "--to", QUEUE)[2]
    assert run(*move, "--to", "mailDead")[:2] == (0, "dead-lettered 1 job\n")
    assert client.hget(f"bull:{QUEUE}:{waiting}", "failedReason") == "job was cancelled: wrong list"
    letter = json.loads(run("dead", "list", "-q", "mailDead", "--json")[1])
    assert (letter["jobId"], letter["reasonClass"]) == (waiting, "cancelled")
    code, _, said = run(*move)
    assert (code, "its dead letter was written when it failed" in said) == (1, True)
    assert run("dead-letter", QUEUE, gone)[0] == 0, "the one queue with dead letters of this one is taken"
    matching = ("dead-letter", QUEUE, "--state", "wait", "--all")
    assert run(*matching, "--dry-run")[:2] == (0, "would dead-letter 2 jobs\n")
    assert run(*matching, "--yes")[:2] == (0, "dead-lettered 2 jobs\n")
    assert run("dead", "redrive", "--queue", "mailDead", "--all")[0] == 0
    assert {waiting, kept, gone} <= set(client.lrange(f"bull:{QUEUE}:wait", 0, -1))
    assert client.llen("bull:mailDead:wait") == 0


@pytest.mark.parametrize("command", ["retry", "promote", "remove", "cancel", "dead-letter"])
def test_jobs_must_be_selected(run: Run, redis_url: str, command: str) -> None:
    add(redis_url, 1)
    for arguments, remedy in (((), "say which jobs"), (("some", "--all"), "not both")):
        code, _, said = run(command, QUEUE, *arguments)
        assert code == 2
        assert remedy in said


def test_priority_and_delay_are_changed(run: Run, client: redis.Redis, redis_url: str) -> None:
    (job_id,) = add(redis_url, 1)
    assert run("change", QUEUE, job_id, "--priority", 2)[1] == f"{job_id} is prioritized, priority 2\n"
    assert client.zcard(f"bull:{QUEUE}:prioritized") == 1
    (late,) = add(redis_url, 1, delay=60_000)
    code, out, _ = run("change", QUEUE, late, "--delay", "2h", "--json")
    assert (code, json.loads(out)["delay"]) == (0, 7_200_000)
    code, _, said = run("change", QUEUE, job_id, "--delay", "1s")
    refused = f"error: change delay of job {job_id} (prioritized): only a delayed job has a delay\n"
    assert (code, said) == (1, refused)
    assert run("change", QUEUE, job_id)[0] == 2


def test_a_finished_job_is_not_changed_and_its_state_is_named(
    run: Run, client: redis.Redis, redis_url: str
) -> None:
    (job_id,) = die(redis_url)
    before = client.hgetall(f"bull:{QUEUE}:{job_id}")
    for flag, value, why in (
        ("priority", 3, "it has finished"),
        ("delay", "5s", "only a delayed job has a delay"),
    ):
        refused = f"error: change {flag} of job {job_id} (failed): {why}\n"
        assert run("change", QUEUE, job_id, f"--{flag}", value) == (1, "", refused)
    assert client.hgetall(f"bull:{QUEUE}:{job_id}") == before


def test_failures_are_grouped_by_their_reasons(run: Run, client: redis.Redis, redis_url: str) -> None:
    ids = die(redis_url, 3)
    for number, job_id in enumerate(ids[:2]):
        client.hset(f"bull:{QUEUE}:{job_id}", "failedReason", f"TimeoutError: after {number} s")
    groups = found(run, "--group-by", "error")
    assert (groups[0]["count"], groups[0]["error"]) == (2, "TimeoutError: after <number> s")
    assert groups[0]["sample"] in ids[:2]
    code, _, said = run("jobs", QUEUE, "--group-by", "error", "--scan", 2)
    assert code == 0
    assert "searched 2 of 3 failed" in said
    assert run("jobs", QUEUE, "--group-by", "error", "--state", "wait")[0] == 2
