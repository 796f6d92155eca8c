"""The errors of the package."""

from __future__ import annotations

import pickle
import re

import pytest

from auth_worker import errors
from auth_worker.core.outcome import ReasonClass
from auth_worker.errors import (
    AuthWorkerError,
    BrokerError,
    ConfigurationError,
    Delay,
    EmailDispatchError,
    InvalidJobDataError,
    RateLimited,
    UnrecoverableError,
)


def tree(root: type, depth: int = 0) -> dict[str, int]:
    """Yield every error of the module below ``root``, and its depth."""
    found = {root.__name__: depth}
    children: list[type] = root.__subclasses__()
    for child in children:
        if child.__module__ == errors.__name__:
            found |= tree(child, depth + 1)
    return found


def test_the_documented_tree_is_the_real_one() -> None:
    drawn = {}
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"    ((?:[│ ]   )*)(?:[├└]── )?([A-Z]\w+)", line):
            drawn[match[2]] = len(match[1]) // 4 + ("──" in line)
    assert drawn == tree(AuthWorkerError)


def test_a_retry_helps_unless_the_error_says_otherwise() -> None:
    hopeless = {name for name in tree(AuthWorkerError) if not getattr(errors, name).retryable}
    assert hopeless == {*tree(ConfigurationError), *tree(UnrecoverableError)}


def test_every_reason_class_of_an_error_is_one_of_the_dead_letters() -> None:
    for name in tree(UnrecoverableError):
        assert getattr(errors, name).reason_class in set(ReasonClass)


def test_invalid_data_lists_its_fields() -> None:
    error = InvalidJobDataError("Missing required fields", [{"field": "email", "message": "is required"}])
    assert error.message == "Missing required fields"
    assert error.fields == [{"field": "email", "message": "is required"}]
    assert str(error) == "Missing required fields (email: is required)"
    assert str(InvalidJobDataError("Not an object")) == "Not an object"


def test_a_mail_error_keeps_its_cause() -> None:
    cause = OSError("unreachable")
    error = EmailDispatchError("Failed to send email", cause)
    assert error.cause is error.__cause__ is cause
    assert EmailDispatchError("x").cause is None


def test_a_broker_error_has_its_code() -> None:
    assert BrokerError("Redis refused: OOM", "OOM").code == "OOM"
    assert BrokerError("gone").code == ""


@pytest.mark.parametrize(
    "error",
    [
        Delay(5),
        RateLimited(2.5),
        InvalidJobDataError("m", [{"field": "a", "message": "b"}]),
        EmailDispatchError("m", OSError(1, "x")),
        BrokerError("m", "ERR"),
        UnrecoverableError("m"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_can_come_back_from_another_process(error: AuthWorkerError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    for field in ("seconds", "fields", "code", "message"):
        assert getattr(copy, field, None) == getattr(error, field, None)
