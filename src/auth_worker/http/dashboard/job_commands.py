"""The command lines, and the requests to the API, that do to a job what its page offers."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote

from auth_worker.admin.models import JobDetail
from auth_worker.http.dashboard.new_jobs import Copy, copied_options
from auth_worker.http.dashboard.rendering import command


class JobCommand(NamedTuple):
    """What it does, the command for a terminal, and that with curl; the latter is empty without an API."""

    does: str
    terminal: str
    curl: str


def commands_of(
    queue: str, job: JobDetail, actions: Sequence[str], copy: Copy | None, api: str | None
) -> list[JobCommand]:
    """Return the commands that show ``job``, do each of ``actions``, and add ``copy`` as a new job.

    ``api``: the address of the API, None if the dashboard's server has none. The curl commands take a token from
    the shell's ``TOKEN``.
    """
    jobs = f"{api}/queues/{_part(queue)}/jobs"
    one = f"{jobs}/{_part(job.id)}"
    commands = [JobCommand("show", command("job", queue, job.id), _curl(one))]
    for action in actions:
        curl = _curl(one, "DELETE") if action == "remove" else _curl(f"{one}/{action}", "POST")
        commands.append(JobCommand(action, command(action, queue, job.id), curl))
    if copy is not None:
        line = json.dumps({"name": job.name, "data": job.data, "opts": copied_options(job)})
        terminal = f"echo {shlex.quote(line)} | {command('add', queue, '--lines', '-')}"
        commands.append(JobCommand("add a copy", terminal, _curl(jobs, "POST", line)))
    return commands if api is not None else [each._replace(curl="") for each in commands]


def _curl(address: str, method: str = "GET", body: str | None = None) -> str:
    words = ["curl", "-sf"]
    if method != "GET":
        words += ["-X", method, "-H", "X-Auth-Worker: 1"]
    if body is not None:
        words += ["-H", "Content-Type: application/json", "-d", body]
    return f'{shlex.join(words)} -H "Authorization: Bearer $TOKEN" {shlex.quote(address)}'


def _part(name: str) -> str:
    return quote(name, safe="", errors="replace")
