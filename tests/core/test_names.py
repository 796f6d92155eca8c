"""Names that end up in Redis keys."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_worker.config import QUEUE_NAMES
from auth_worker.core.names import RESERVED_IDS, check_job_id, check_queue_name
from auth_worker.errors import ConfigurationError

NO_TEXT = ["a\nb", "a\n", "\n", "a\0", "\x1b[2J", "\x9b", "\x7f", "a\ud800", "", "x" * 1001, "x" * 10_000]
TAKEN = [
    *(
        "a b",
        " ",
        "a/b",
        "a#b",
        "a+b",
        "a,b",
        "a%b",
        'a"b',
        "a<b",
        "é",
        "名前",
        "🚀",
        "-a",
        ".a",
        "@a",
        "--help",
        "*",
        "[x]",
    ),
    *(
        "x" * 1000,
        "q\\",
        "{tag}mail",
        "a.b-c_d@e",
        "\u202ea",
        "a\u2028b",
        "constructor",
        "my queue",
        "../..",
        "~",
        "$(x)",
    ),
]


@given(name=st.from_regex(r"[A-Za-z_-][A-Za-z0-9._@+=-]{0,199}", fullmatch=True))
def test_a_plain_job_id_is_accepted_unchanged(name: str) -> None:
    if name in RESERVED_IDS or re.fullmatch(r"-?\d+", name):
        return
    assert check_job_id(name) == name


@given(name=st.text(max_size=220))
def test_a_job_id_is_safe_in_a_redis_key_or_refused(name: str) -> None:
    try:
        check_job_id(name)
    except ConfigurationError:
        return
    assert name.encode()
    assert name.count(":") in (0, 2)
    assert not re.fullmatch(r"-?[1-9][0-9]*|0", name)


@pytest.mark.parametrize("name", [*TAKEN, "a:b:c", "::", "007", "-0", "1.5", "1e3", "１２", "0x1", "5a"])
def test_a_job_id_that_node_accepts_is_accepted(name: str) -> None:
    assert check_job_id(name) == name


@pytest.mark.parametrize("name", [*NO_TEXT, None, 7, b"a", ["a"]])
def test_a_job_id_of_control_characters_or_none_is_refused_and_quoted_in_short(name: Any) -> None:
    with pytest.raises(ConfigurationError, match="job_id must be") as refusal:
        check_job_id(name)
    assert len(str(refusal.value)) < 250
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize("name", ["0", "7", "-5", "123456789012345678901234567890"])
def test_whole_numbers_are_bullmqs_own_ids(name: str) -> None:
    with pytest.raises(ConfigurationError, match="whole number"):
        check_job_id(name)


@pytest.mark.parametrize("name", ["0:x", "a:b", "wait:1", ":", "a:b:c:d", "a:b:c:d:e"])
def test_a_colon_that_node_refuses_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="has a colon"):
        check_job_id(name)


@pytest.mark.parametrize("name", ["repeat:x:5", "metrics:completed:data", "de:a:b"])
def test_a_subkey_of_the_queue_is_not_a_job_id(name: str) -> None:
    with pytest.raises(ConfigurationError, match="key of the queue itself"):
        check_job_id(name)


@pytest.mark.parametrize("name", sorted(RESERVED_IDS))
def test_a_key_of_the_queue_itself_is_not_a_job_id(name: str) -> None:
    with pytest.raises(ConfigurationError, match="key of the queue itself"):
        check_job_id(name)


def test_every_key_bullmq_gives_a_queue_is_reserved() -> None:
    from bullmq.queue_keys import QueueKeys

    keys = QueueKeys("bull").getKeys("q")
    assert {key for key in keys if key} <= RESERVED_IDS


@pytest.mark.parametrize("name", [*TAKEN, "emailQueue", "a", "0"])
def test_a_queue_name_that_node_accepts_is_accepted(name: str) -> None:
    assert check_queue_name("queue_name", name) == name


def test_a_queue_name_of_the_enumeration_becomes_a_plain_text() -> None:
    checked = check_queue_name("queue_name", QUEUE_NAMES.EMAIL)
    assert type(checked) is str
    assert checked == "emailQueue"


@pytest.mark.parametrize("name", [*NO_TEXT, "a:b", ":", None, 7, b"a"])
def test_a_queue_name_that_could_break_a_key_is_refused_naming_the_argument(name: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^dead_letter_queue_name must be") as refusal:
        check_queue_name("dead_letter_queue_name", name)
    assert len(str(refusal.value)) < 250
    assert str(refusal.value).isprintable()
