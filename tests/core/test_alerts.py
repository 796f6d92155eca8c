"""Alerts: each rule and its threshold, and who is told of what, whatever happens in between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_worker.core.alert_messages import MOST_LINES, Message, rule_text
from auth_worker.core.alert_settings import RULES, AlertSettings
from auth_worker.core.alerts import (
    MOST_ALERTS,
    RESOLVED_MS,
    Alert,
    Notification,
    QueueReading,
    StuckScheduler,
    Violation,
    advance,
    notifications_for,
    violations,
    with_notified,
)

NOW = 1_800_000_000_000
MINUTE = 60_000
MAIL = QueueReading("mail", waiting=312, oldest_ms=41_000, workers=0, failed_per_minute=7)
STUCK = StuckScheduler("mail", "nightly", "has no next run")


def of(queue: str, hold_ms: int = 0) -> Violation:
    return Violation("no_worker", queue, "", f"No worker on {queue}", hold_ms)


def notifications_of(
    alerts: Sequence[Alert], target: str, now: int, repeat_s: float | None = None
) -> tuple[Any, list[Alert]]:
    """What the target is told, and the alerts once it has been."""
    news = notifications_for(alerts, target, now, repeat_s)
    return [(each.kind, each.alert.queue) for each in news], with_notified(alerts, target, news, now)


@pytest.mark.parametrize(
    ("rule", "below", "reading", "text"),
    [
        ("oldest_waiting", 41, MAIL._replace(oldest_ms=41_001), "mail has 312 waiting; the oldest waits 41 s"),
        ("failed_per_minute", 6, MAIL, "7 jobs of mail failed within a minute"),
        ("dead_letters", 0, QueueReading("dead", letters=1), "dead holds 1 dead letter"),
        ("no_worker", 1e9, MAIL, "No worker on mail with 312 waiting; the oldest waits 41 s"),
        ("paused", 1e9, QueueReading("mail", paused=True), "mail is paused, and nothing waits"),
        ("paused", 1e9, MAIL._replace(paused=True), "mail is paused with 312 waiting; the oldest waits 41 s"),
    ],
)
def test_each_rule_says_what_it_has_found(rule: str, below: float, reading: QueueReading, text: str) -> None:
    found = violations(AlertSettings(**{rule: below}), [reading])
    assert [(each.rule, each.text) for each in found] == [(rule, text)]
    assert violations(AlertSettings(), [reading], [STUCK]) == []


@given(
    rule=st.sampled_from(["oldest_waiting", "failed_per_minute", "dead_letters"]),
    threshold=st.integers(0, 10_000),
    value=st.integers(0, 10_000),
)
def test_a_rule_fires_above_its_threshold_and_not_at_it(rule: str, threshold: int, value: int) -> None:
    reading = {
        "oldest_waiting": QueueReading("q", waiting=1, oldest_ms=value * 1000),
        "failed_per_minute": QueueReading("q", failed_per_minute=value),
        "dead_letters": QueueReading("q", letters=value),
    }[rule]
    assert bool(violations(AlertSettings(**{rule: threshold}), [reading])) == (value > threshold)


def test_a_rule_about_workers_needs_jobs_that_wait_and_workers_that_can_be_counted() -> None:
    rules = AlertSettings(no_worker=0, oldest_waiting=0)
    for fine in (
        MAIL._replace(waiting=0, oldest_ms=0),
        QueueReading("mail", waiting=3, workers=None),
        QueueReading("mail", waiting=3, workers=1),
        QueueReading("mail", waiting=3, workers=0, paused=True),
    ):
        assert violations(rules, [fine]) == []


def test_a_job_scheduler_that_does_not_go_on_is_named() -> None:
    (found,) = violations(AlertSettings(scheduler_overdue=120), [], [STUCK])
    assert (found.text, found.hold_ms) == ("nightly of mail has no next run", 120_000)


def test_ignored_queues_have_no_alerts() -> None:
    settings = AlertSettings(no_worker=0, ignored_queues=("nightly-*", "mail"))
    queues = [MAIL, MAIL._replace(queue="nightly-a"), MAIL._replace(queue="sms")]
    assert [each.queue for each in violations(settings, queues)] == ["sms"]


def test_an_alert_begins_once_its_violation_has_lasted() -> None:
    alerts = advance([], [of("mail", MINUTE)], NOW)
    assert notifications_of(alerts, "webhook", NOW)[0] == []
    alerts = advance(alerts, [of("mail", MINUTE)], NOW + MINUTE - 1)
    assert not alerts[0].is_firing
    alerts = advance(alerts, [of("mail", MINUTE)], NOW + MINUTE)
    assert notifications_of(alerts, "webhook", NOW + MINUTE)[0] == [("began", "mail")]
    assert advance(advance([], [of("mail", MINUTE)], NOW), [], NOW + 1) == [], "it never was one"


def test_one_that_goes_on_is_told_again_only_as_often_as_wanted() -> None:
    said, alerts = notifications_of(advance([], [of("mail")], NOW), "webhook", NOW, repeat_s=3600)
    assert said == [("began", "mail")]
    for minutes, expected in ((59, []), (60, [("goes on", "mail")]), (61, [])):
        at = NOW + minutes * MINUTE
        said, alerts = notifications_of(advance(alerts, [of("mail")], at), "webhook", at, repeat_s=3600)
        assert said == expected, minutes
    assert notifications_for(alerts, "webhook", NOW + 10**9, None) == []


def test_the_alerts_of_a_queue_that_was_not_looked_at_stay() -> None:
    alerts = advance([], [of("mail"), of("sms")], NOW)
    after = advance(alerts, [], NOW + 1, unseen={"mail"})
    assert [(each.queue, each.is_firing) for each in after] == [("mail", True), ("sms", False)]


def test_what_is_over_is_kept_for_a_day() -> None:
    over = advance(advance([], [of("mail")], NOW), [], NOW + 1)
    assert [each.resolved_at for each in advance(over, [], NOW + RESOLVED_MS)] == [NOW + 1]
    assert advance(over, [], NOW + 1 + RESOLVED_MS) == []


def test_many_violations_are_kept_within_bounds_and_those_that_are_known_stay() -> None:
    known = advance([], [of(f"known{number}") for number in range(5)], NOW)
    many = [of(f"new{number:04}") for number in range(3 * MOST_ALERTS)]
    alerts = advance(known, [*many, *(of(f"known{number}") for number in range(5))], NOW + 1)
    assert len(alerts) == MOST_ALERTS
    assert [each.queue for each in alerts[:5]] == [f"known{number}" for number in range(5)]
    assert len(advance(alerts, many[MOST_ALERTS:], NOW + 2)) == 2 * MOST_ALERTS


Round = tuple[frozenset[str], bool, bool]
"""An evaluation: which queues violate a rule, and whether each of two targets takes what it is told."""
ROUNDS = st.lists(
    st.tuples(st.frozensets(st.sampled_from("abc")), st.booleans(), st.booleans()), min_size=1, max_size=25
)


@given(rounds=ROUNDS, hold_ms=st.sampled_from([0, MINUTE, 2 * MINUTE]))
def test_each_target_hears_of_the_begin_and_the_end_of_an_alert_in_turn_and_never_twice(
    rounds: list[Round], hold_ms: int
) -> None:
    alerts: list[Alert] = []
    heard: dict[tuple[str, str], list[str]] = {}

    def evaluate(number: int, violating: frozenset[str], *takes: bool) -> None:
        nonlocal alerts
        now = NOW + number * MINUTE
        alerts = advance(alerts, [of(queue, hold_ms) for queue in violating], now)
        kept = [each.model_dump_json(by_alias=True) for each in alerts]
        alerts = [Alert.model_validate_json(each) for each in kept]
        for target, takes_it in zip(("webhook", "slack"), takes, strict=True):
            news = notifications_for(alerts, target, now, None)
            if takes_it:
                alerts = with_notified(alerts, target, news, now)
                for each in news:
                    heard.setdefault((target, each.alert.queue), []).append(each.kind)

    for number, one in enumerate(rounds):
        evaluate(number, *one)
    lasting = rounds[-1][0]
    for number in range(len(rounds), len(rounds) + 4):  # at last both take what they are told
        evaluate(number, lasting, True, True)
    for (target, queue), kinds in heard.items():
        ends_so = ("began",) if queue in lasting else ("resolved",)
        assert kinds == (["began", "resolved"] * len(kinds))[: len(kinds)], (target, queue)
        assert kinds[-1] in ends_so, (target, queue)
    for queue in lasting:
        assert {("webhook", queue), ("slack", queue)} <= heard.keys()


def test_a_message_says_what_is_new_first_and_how_long_it_has_lasted() -> None:
    firing = Alert(rule="no_worker", queue="mail", scheduler="", text="No worker on mail", since=NOW, fired_at=NOW)
    over = firing.model_copy(update={"queue": "sms", "text": "sms has <3> & waits", "resolved_at": NOW + MINUTE})
    message = Message(
        [Notification("resolved", over), Notification("began", firing)], "bull on redis", NOW + 2 * MINUTE
    )
    assert message.subject == "[bull on redis] Alert: No worker on mail and 1 more"
    assert message.text.splitlines() == [
        "Alert: No worker on mail (for 2 min)",
        "Resolved after 1 min: sms has <3> & waits",
    ]
    assert [(each["status"], each["queue"]) for each in message.payload["alerts"]] == [
        ("began", "mail"),
        ("resolved", "sms"),
    ]
    assert "sms has &lt;3&gt; &amp; waits" in message.slack_payload["text"]
    many = Message([Notification("goes on", firing)] * (MOST_LINES + 7), "bull", NOW)
    assert many.text.endswith("\nand 7 more")
    test = Message([], "bull", NOW)
    assert (test.payload["test"], test.payload["alerts"]) == (True, [])
    assert "test" in test.slack_payload["text"]


def test_a_line_of_a_message_has_no_control_characters() -> None:
    alert = Alert(rule="paused", queue="q", scheduler="", text="q\r\nBcc: \x1b[2J", since=NOW, fired_at=NOW)
    message = Message([Notification("began", alert)], "bull", NOW)
    assert message.subject.isprintable()
    assert message.text.isprintable()


def test_every_rule_has_its_words() -> None:
    assert all(rule_text(rule, 90) for rule in RULES)
    assert rule_text("no_worker", 90) == "Jobs wait without a worker for longer than 1 min 30 s"
    assert rule_text("no_worker", 0) == "Jobs wait without a worker"
    assert AlertSettings().thresholds == {}
    assert AlertSettings(dead_letters=0).thresholds == {"dead_letters": 0}
