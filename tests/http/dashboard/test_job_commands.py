"""The commands on the page of a job: each does, as it stands there, what the page says."""

from __future__ import annotations

import asyncio
import html
import re
import shlex
import subprocess
import urllib.request

from support.admin_api import ADMIN, JOBS, SECRET, add, state_of
from support.command_line import environment
from support.dashboard_visitor import Page, Visitor
from support.http_requests import Api
from support.processors import QUEUE, Harness
from support.warm_programs import PROGRAM

DATA = {"n": 12345678901234567890, "text": "it's <b> $HOME `id`", "secret": SECRET}


def command(page: Page, program: str, part: str) -> str:
    """Return the command of the page that runs ``program`` and contains ``part``."""
    found = re.findall(r'<code class="copy" tabindex="0">(.*?)</code>', page.text)
    commands = [html.unescape(text) for text in found]
    (chosen,) = [each for each in commands if each.startswith(program) and part in each]
    return chosen


async def request(curl: str) -> int:
    """Send the request that a command with curl describes, and return its status."""
    words = shlex.split(curl.replace("$TOKEN", ADMIN))
    method, headers, body = "GET", {}, None
    for flag, value in zip(words[2:-1:2], words[3:-1:2], strict=True):
        match flag:
            case "-X":
                method = value
            case "-H":
                name, _, content = value.partition(": ")
                headers[name] = content
            case "-d":
                body = value.encode()
    asked = urllib.request.Request(words[-1], body, headers, method=method)

    def ask() -> int:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return int(answer.status)

    return await asyncio.to_thread(ask)


async def run(line: str, harness: Harness) -> None:
    """Run a command line in a shell, with ``auth-worker`` in its path."""
    given = {**environment(redis_url=harness.url), "PATH": f"{PROGRAM.parent}:/usr/bin:/bin"}
    await asyncio.to_thread(subprocess.run, ["sh", "-c", line], env=given, check=True, timeout=50)


async def on_job(visitor: Visitor, job_id: str) -> Page:
    return await visitor.get("job", queue=QUEUE, job=job_id)


async def test_the_requests_with_curl(admin: Visitor, paused_api: Api) -> None:
    await add(paused_api, delay=3_600_000, jobId="it's one")
    page = await on_job(admin, "it's one")
    assert await request(command(page, "curl -sf -H", "it%27s%20one")) == 200
    assert await request(command(page, "curl", "/promote")) == 204
    assert await state_of(paused_api, "it%27s%20one") == "wait"
    assert await request(command(await on_job(admin, "it's one"), "curl", "-X DELETE")) == 204
    assert (await paused_api.get(f"{JOBS}/it%27s%20one")).status == 404


async def test_the_command_lines(admin: Visitor, paused_api: Api, harness: Harness) -> None:
    job_id = await add(paused_api, delay=3_600_000)
    page = await on_job(admin, job_id)
    await run(command(page, "auth-worker", "promote"), harness)
    assert await state_of(paused_api, job_id) == "wait"


async def test_a_copy_is_added_once_the_data_is_revealed(
    admin: Visitor, paused_api: Api, harness: Harness
) -> None:
    await add(paused_api, data=DATA, jobId="first", attempts=7)
    hidden = await on_job(admin, "first")
    assert SECRET not in hidden.text
    page = await admin.send(hidden.form("change-job", "reveal"), ("action", "reveal"))
    await run(command(page, "echo", "--lines"), harness)
    assert await request(command(page, "curl", " -d ")) == 201
    copies = [job["id"] for job in (await paused_api.get(JOBS, state="wait")).json["jobs"] if job["id"] != "first"]
    stored = [(await paused_api.get(f"{JOBS}/{each}", reveal=True)).json for each in copies]
    assert [(each["data"], each["opts"]["attempts"]) for each in stored] == [(DATA, 7)] * 2


async def test_a_reader_is_offered_what_only_looks(reader: Visitor, paused_api: Api) -> None:
    job_id = await add(paused_api)
    page = await on_job(reader, job_id)
    assert command(page, "auth-worker", "") == f"auth-worker job {QUEUE} {job_id}"
