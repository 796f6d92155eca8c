"""Alerts on a real server: found by the rules, notified once, by whichever process is elected."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from auth_worker import Settings
from auth_worker.admin import alert_targets
from auth_worker.admin.alert_targets import DeliveryError, Target, targets_of
from auth_worker.admin.alerts import Delivery
from auth_worker.admin.operations import Operations
from auth_worker.core.alert_messages import Message
from support.mail_servers import Mailbox, make_certificate, real_server, server_context
from support.operators import operations_on
from support.processors import DEAD, QUEUE, Harness
from support.webhooks import HANG, Receiver, receiving

from .conftest import die

KEY = "bull:auth-worker-alerts"


@pytest.fixture
def hook() -> Iterator[Receiver]:
    """A webhook that takes everything."""
    with receiving(Receiver()) as receiver:
        yield receiver


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tries follow each other at once, and wait only a moment for an answer."""
    monkeypatch.setattr(alert_targets, "RETRY_S", 0.01)
    monkeypatch.setattr(alert_targets, "TIMEOUT_S", 1.0)


def settings_of(**alerts: Any) -> Settings:
    return Settings(alerts={"no_worker": 0, **alerts}, log_level="ERROR")


async def evaluate(operations: Operations, settings: Settings, by: str = "one") -> list[Delivery]:
    return await operations.alerts.evaluate(settings.alerts, targets_of(settings), by)


async def test_an_alert_is_told_when_it_begins_and_when_it_is_over(
    harness: Harness, operations: Operations, hook: Receiver
) -> None:
    settings = settings_of(webhook_url=hook.url, webhook_token="t0ken")
    job_id = await harness.jobs.add("n", {})
    for _ in range(3):
        await evaluate(operations, settings)
    assert hook.alerts == [("began", QUEUE)]
    (request,) = hook.requests
    assert request.path == "/hook/s3cret"
    assert request.headers["authorization"] == "Bearer t0ken"
    assert request.headers["content-type"] == "application/json"
    assert request.body["text"].startswith(f"Alert: No worker on {QUEUE} with 1 waiting")
    assert request.body["place"].startswith("bull on redis://")
    await operations.jobs.remove(QUEUE, job_id)
    for _ in range(2):
        await evaluate(operations, settings)
    assert hook.alerts == [("began", QUEUE), ("resolved", QUEUE)]
    state = await operations.alerts.state()
    assert (state.firing, state.thresholds, state.evaluated_by) == ([], {"no_worker": 0}, "one")
    assert await harness.redis.pttl(KEY) > 0


async def test_whoever_is_elected_next_tells_nothing_again(
    harness: Harness, operations: Operations, hook: Receiver
) -> None:
    settings = settings_of(webhook_url=hook.url)
    await harness.jobs.add("n", {})
    async with operations_on(harness.url) as other:
        assert await operations.alerts.elect("one")
        assert not await other.alerts.elect("other")
        await evaluate(operations, settings)
        await harness.redis.delete(f"{KEY}:elected")
        assert await other.alerts.elect("other")
        assert not await operations.alerts.elect("one")
        await evaluate(other, settings, by="other")
        assert (await operations.alerts.state()).evaluated_by == "other"
    assert hook.alerts == [("began", QUEUE)]


async def test_dead_letters_and_a_paused_queue_are_found(harness: Harness, operations: Operations) -> None:
    await die(harness, 2)
    await operations.queues.pause(QUEUE)
    await evaluate(operations, settings_of(dead_letters=1, paused=0, failed_per_minute=1, oldest_waiting=1e6))
    found = {(alert.rule, alert.queue) for alert in (await operations.alerts.state()).firing}
    assert found == {("dead_letters", DEAD), ("paused", QUEUE), ("failed_per_minute", QUEUE)}


async def test_a_job_scheduler_without_a_next_run_is_found(harness: Harness, operations: Operations) -> None:
    await harness.jobs.add("n", {})
    await harness.redis.zadd(f"bull:{QUEUE}:repeat", {"nightly": 1000})
    await harness.redis.hset(f"bull:{QUEUE}:repeat:nightly", mapping={"name": "n", "ic": "1", "every": "3600000"})
    await evaluate(operations, settings_of(no_worker=None, scheduler_overdue=0))
    (alert,) = (await operations.alerts.state()).firing
    assert (alert.rule, alert.scheduler) == ("scheduler_overdue", "nightly")
    assert alert.text == f"nightly of {QUEUE} has no next run"


async def test_a_webhook_that_fails_is_told_later_and_the_others_now(
    harness: Harness, operations: Operations, hook: Receiver
) -> None:
    await harness.jobs.add("n", {})
    with receiving(Receiver(503)) as slack:
        settings = settings_of(webhook_url=hook.url, slack_url=slack.url)
        deliveries = await evaluate(operations, settings)
        assert [(each.target, each.error) for each in deliveries] == [
            ("webhook", ""),
            ("slack", "it has answered 503, 3 times"),
        ]
        assert len(slack.requests) == 3
        trouble = (await operations.alerts.state()).targets["slack"]
        assert (trouble.notified_at, trouble.error) == (None, "it has answered 503, 3 times")
        slack.answer_with(200)
        await evaluate(operations, settings)
        assert slack.requests[-1].body["text"].startswith("*[bull on ")
        assert len(slack.requests) == 4
        await evaluate(operations, settings)
        assert len(slack.requests) == 4
        assert (await operations.alerts.state()).targets["slack"].error == ""
    assert hook.alerts == [("began", QUEUE)]


@pytest.mark.parametrize(
    ("statuses", "tries", "error"),
    [
        ((500, 429, 200), 3, ""),
        ((404,), 1, "it has answered 404"),
        ((302,), 1, "it has answered 302"),
        ((HANG,), 3, "no answer"),
    ],
)
async def test_what_may_pass_is_tried_again(statuses: tuple[int, ...], tries: int, error: str) -> None:
    with receiving(Receiver(*statuses)) as receiver:
        (target,) = targets_of(settings_of(webhook_url=receiver.url))
        said = await sent_to(target)
        assert said.startswith(error)
        assert bool(said) == bool(error)
        assert len(receiver.requests) == tries


async def sent_to(target: Target) -> str:
    """Why a target takes no test; empty if it does. It has no secret."""
    said = ""
    try:
        await target.send(Message([], "bull", 0))
    except DeliveryError as error:
        said = str(error)
    assert "s3cret" not in said
    return said


async def test_a_webhook_that_hangs_holds_up_neither_the_loop_nor_the_next_evaluation(
    harness: Harness, operations: Operations
) -> None:
    await harness.jobs.add("n", {})
    with receiving(Receiver(HANG)) as receiver:
        settings, longest = settings_of(webhook_url=receiver.url), 0.0
        evaluating = asyncio.create_task(evaluate(operations, settings))
        while not evaluating.done():
            before = time.monotonic()
            await operations.broker.ping()
            longest = max(longest, time.monotonic() - before)
            await asyncio.sleep(0.05)
        assert "no answer" in (await evaluating)[0].error
        assert longest < alert_targets.TIMEOUT_S, "the loop was blocked"
        receiver.close()
        receiver.answer_with(200)
        assert [each.error for each in await evaluate(operations, settings)] == [""]


async def test_where_nobody_listens_that_is_said_without_the_secret() -> None:
    with receiving(Receiver()) as receiver:
        url = receiver.url
    (target,) = targets_of(settings_of(webhook_url=url))
    assert "Connection refused" in await sent_to(target)


async def test_a_certificate_is_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = make_certificate(tmp_path)
    with receiving(Receiver(), server_context(certificate)) as receiver:
        (target,) = targets_of(settings_of(webhook_url=receiver.url))
        assert "certificate verify failed" in await sent_to(target)
        assert receiver.requests == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        assert await sent_to(target) == ""
        assert len(receiver.requests) == 1


async def test_mails_go_to_everybody_over_the_mail_server_of_the_settings(
    harness: Harness, operations: Operations
) -> None:
    await harness.jobs.add("n", {})
    mailbox = Mailbox()
    async with real_server(mailbox) as port:
        settings = Settings(
            alerts={"no_worker": 0, "email_to": ["ada@example.com", "alan@example.com", "grace@example.org"]},
            smtp_host="127.0.0.1",
            smtp_port=port,
            smtp_security="none",
            log_level="ERROR",
        )
        assert [each.error for each in await evaluate(operations, settings)] == [""] * 3
        assert [each.error for each in await evaluate(operations, settings)] == []
    assert sorted(mail["To"] for mail in mailbox.messages) == sorted(settings.alerts.email_to)
    mail = mailbox.messages[0]
    assert mail["Subject"].startswith("[bull on redis://")
    text = mail.get_body(("plain",))
    assert text is not None
    assert f"Alert: No worker on {QUEUE}" in text.get_content()
    names = list((await operations.alerts.state()).targets)
    assert len(set(names)) == 3
    assert not any(name.startswith(("ada@", "alan@", "grace@")) for name in names)


async def test_a_mail_server_that_is_away_is_said(harness: Harness, operations: Operations) -> None:
    async with real_server(Mailbox()) as port:
        """It is gone again."""
    settings = Settings(
        alerts={"no_worker": 0, "email_to": ["ada@example.com"]},
        smtp_host="127.0.0.1",
        smtp_port=port,
        log_level="ERROR",
    )
    await harness.jobs.add("n", {})
    (delivery,) = await evaluate(operations, settings)
    assert delivery.error
    assert "ada@" not in delivery.error


async def test_a_test_goes_to_everybody_and_changes_nothing(operations: Operations, hook: Receiver) -> None:
    with receiving(Receiver(404)) as slack:
        targets = targets_of(settings_of(webhook_url=hook.url, slack_url=slack.url))
        assert [each.error for each in await operations.alerts.test(targets)] == ["", "it has answered 404"]
    assert hook.requests[0].body["test"] is True
    assert (await operations.alerts.state()).evaluated_at == 0


async def test_a_state_that_cannot_be_read_is_begun_anew(
    harness: Harness, operations: Operations, hook: Receiver
) -> None:
    await harness.jobs.add("n", {})
    for strange in ("{", '{"alerts": 1}', b"\xff"):
        await harness.redis.set(KEY, strange)
        assert (await operations.alerts.state()).alerts == []
    await evaluate(operations, settings_of(webhook_url=hook.url))
    assert hook.alerts == [("began", QUEUE)]
