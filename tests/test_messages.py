"""The log messages are constants that an alert can rely on."""

from __future__ import annotations

import json

import pytest

from auth_worker.messages import WORKER_ERRORS, WORKER_MESSAGES

ALL = [*WORKER_MESSAGES, *WORKER_ERRORS]


def test_no_message_is_used_twice() -> None:
    values = [str(message) for message in ALL]
    assert len(values) == len(set(values))
    assert len(WORKER_MESSAGES.__members__) + len(WORKER_ERRORS.__members__) == len(values)


@pytest.mark.parametrize("message", ALL)
def test_a_message_is_a_plain_english_text_with_no_gaps_to_fill(message: str) -> None:
    assert message.isascii()
    assert message[0].isupper()
    assert not message.endswith(".")
    assert not set("{}%\n") & set(message)


def test_a_message_is_written_as_its_text() -> None:
    assert f"{WORKER_MESSAGES.JOB_COMPLETED}" == "Job completed"
    assert json.dumps(WORKER_ERRORS.JOB_FAILED) == '"Job failed"'


def test_a_message_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        WORKER_MESSAGES.JOB_COMPLETED = "Done"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("JOB_COMPLETED", "Job completed"),
        ("WORKER_READY", "Worker ready"),
    ],
)
def test_the_messages_of_the_reference_are_there(name: str, text: str) -> None:
    assert WORKER_MESSAGES.__members__[name] == text


@pytest.mark.parametrize("name", ["JOB_FAILED", "STARTUP_FAILED"])
def test_the_errors_of_the_reference_are_there(name: str) -> None:
    assert name in WORKER_ERRORS.__members__
