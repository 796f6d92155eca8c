"""``auth-worker schedulers``: list, show, upsert, run and remove."""

from __future__ import annotations

import json

import pytest
import redis

from auth_worker.queue import JobQueue
from support.command_line import Run
from support.prepared_queues import add
from support.processors import QUEUE

NIGHTLY = ("nightly", "report", "--pattern", "0 3 * * *", "--tz", "UTC", "--data", '{"card": "hunter2"}')


def test_job_schedulers_are_listed(run: Run, redis_url: str) -> None:
    add(redis_url, 1)
    assert run("schedulers", "list", QUEUE) == (0, "", f"{QUEUE} has no job schedulers.\n")
    jobs = JobQueue(QUEUE, redis_url)
    jobs.sync.upsert_job_scheduler("nightly", name="report", pattern="0 3 * * *", tz="Europe/Berlin")
    jobs.sync.upsert_job_scheduler("often", name="poll", every=60_000, offset=500)
    jobs.sync.close()
    code, out, _ = run("schedulers", "list", QUEUE, "--json")
    found = {entry["id"]: entry for entry in map(json.loads, out.splitlines())}
    assert code == 0
    assert (found["nightly"]["pattern"], found["nightly"]["tz"]) == ("0 3 * * *", "Europe/Berlin")
    assert (found["often"]["every"], found["often"]["offset"], found["often"]["problem"]) == (60_000, 500, None)
    shown = run("schedulers", "list", QUEUE, "--wide")[1]
    assert "every 60000 ms" in shown
    assert "0 3 * * * Europe/Berlin" in shown


def test_a_scheduler_is_made_shown_replaced_and_removed(run: Run, client: redis.Redis) -> None:
    code, out, _ = run("schedulers", "upsert", QUEUE, *NIGHTLY, "--attempts", "5", "--backoff", "10s", "--json")
    made = json.loads(out)
    assert (code, made["pattern"], made["tz"], made["name"]) == (0, "0 3 * * *", "UTC", "report")
    assert (made["data"], made["opts"]["attempts"]) == ({"card": "<text of 7>"}, 5)
    code, out, _ = run("schedulers", "show", QUEUE, "nightly")
    assert code == 0
    assert "0 3 * * * UTC" in out
    assert "hunter2" not in out
    revealed = json.loads(run("schedulers", "show", QUEUE, "nightly", "--reveal", "--json")[1])
    assert revealed["data"] == {"card": "hunter2"}
    replacing = ("nightly", "report", "--every", "5m", "--start", "2030-01-02", "--limit", "7")
    replaced = json.loads(run("schedulers", "upsert", QUEUE, *replacing, "--json")[1])
    assert (replaced["every"], replaced["pattern"], replaced["limit"]) == (300_000, None, 7)
    assert replaced["startDate"] == 1_893_542_400_000
    assert "2030" in run("schedulers", "show", QUEUE, "nightly")[1]
    assert run("schedulers", "remove", QUEUE, "nightly")[0] == 2
    assert run("schedulers", "remove", QUEUE, "nightly", "--yes")[:2] == (0, "nightly removed\n")
    assert client.zcard(f"bull:{QUEUE}:repeat") == client.zcard(f"bull:{QUEUE}:delayed") == 0


def test_a_scheduler_runs_now_and_its_next_job_stays_due(run: Run, client: redis.Redis) -> None:
    made = json.loads(run("schedulers", "upsert", QUEUE, *NIGHTLY, "--attempts", "5", "--json")[1])
    code, out, _ = run("schedulers", "run", QUEUE, "nightly")
    assert code == 0
    job = client.hgetall(f"bull:{QUEUE}:{out.strip()}")
    assert (job["name"], json.loads(job["data"])) == ("report", {"card": "hunter2"})
    assert json.loads(job["opts"])["attempts"] == 5
    assert client.lrange(f"bull:{QUEUE}:wait", 0, -1) == [out.strip()]
    assert json.loads(run("schedulers", "show", QUEUE, "nightly", "--json")[1])["next"] == made["next"]
    assert json.loads(run("schedulers", "run", QUEUE, "nightly", "--json")[1])["queue"] == QUEUE


@pytest.mark.parametrize("command", [("show",), ("run",), ("remove", "--yes")])
def test_a_scheduler_that_is_not_there_is_named(run: Run, redis_url: str, command: tuple[str, ...]) -> None:
    add(redis_url, 1)
    code, _, said = run("schedulers", command[0], QUEUE, "nightly", *command[1:])
    assert (code, said) == (1, f"error: there is no job scheduler nightly in queue {QUEUE}\n")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ((), "every"),
        (("--every", "5m", "--pattern", "* * * * *"), "every"),
        (("--pattern", "soon"), "job scheduler 'nightly'"),
        (("--every", "5m", "--start", "soon"), "startDate"),
    ],
)
def test_invalid_times_are_named(run: Run, flags: tuple[str, ...], said: str) -> None:
    code, _, err = run("schedulers", "upsert", QUEUE, "nightly", "report", *flags)
    assert code == 1
    assert said in err
