"""``auth-worker alerts``: what fires, and a test of who is notified."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from auth_worker import Settings
from auth_worker.admin.alert_targets import targets_of
from support.command_line import run_program
from support.operators import operations_on
from support.processors import QUEUE, Harness
from support.webhooks import Receiver, receiving


async def test_alerts_are_listed_and_an_exit_code_says_whether_one_fires(harness: Harness, tmp_path: Path) -> None:
    def listed(*arguments: str) -> tuple[int, str, str]:
        ended = run_program(tmp_path, "alerts", "list", *arguments, redis_url=harness.url)
        return ended.returncode, ended.stdout, ended.stderr

    code, _, said = await asyncio.to_thread(listed)
    assert code == 0
    assert "There are no alerts: no service with rules in [alerts] has been running" in said
    await harness.jobs.add("n", {})
    with receiving(Receiver(404)) as receiver:
        settings = Settings(alerts={"no_worker": 0, "webhook_url": receiver.url}, log_level="ERROR")
        async with operations_on(harness.url) as operations:
            await operations.alerts.evaluate(settings.alerts, targets_of(settings), "this test")
    code, shown, said = await asyncio.to_thread(listed, "--wide")
    assert code == 3
    assert f"No worker on {QUEUE} with 1 waiting" in shown
    assert "webhook: it has answered 404" in said
    code, shown, _ = await asyncio.to_thread(listed, "--json")
    assert code == 3
    assert [each["queue"] for each in json.loads(shown)["alerts"]] == [QUEUE]


async def test_a_test_goes_to_whom_the_settings_name(harness: Harness, tmp_path: Path) -> None:
    def tested() -> tuple[int, str, str]:
        ended = run_program(tmp_path, "alerts", "test", redis_url=harness.url)
        return ended.returncode, ended.stdout, ended.stderr

    code, _, said = await asyncio.to_thread(tested)
    assert (code, "name nobody to notify" in said) == (1, True)
    with receiving(Receiver(200, 404)) as receiver:
        (tmp_path / "auth-worker.toml").write_text(f'[alerts]\nwebhook_url = "{receiver.url}"\n')
        assert (await asyncio.to_thread(tested))[:2] == (0, "webhook: taken\n")
        assert (await asyncio.to_thread(tested))[:2] == (1, "webhook: it has answered 404\n")
        assert receiver.requests[0].body["test"] is True


def test_the_settings_are_shown_without_what_is_secret(tmp_path: Path) -> None:
    text = '[alerts]\nno_worker = 60\nwebhook_url = "https://example.com/s3cret"\nemail_to = ["ops@example.com"]\n'
    (tmp_path / "auth-worker.toml").write_text(text)
    shown = run_program(tmp_path, "config", "show", "--json").stdout
    rows = {row["name"]: row for row in map(json.loads, shown.splitlines())}
    assert rows["alerts"]["value"] == {"no_worker": 60, "webhook_url": "***", "email_to": ["ops@example.com"]}
    assert "s3cret" not in shown
