"""Names that end up in Redis keys."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_worker.config import QUEUE_NAMES
from auth_worker.errors import ConfigurationError
from auth_worker.names import RESERVED_IDS, check_job_id, check_queue_name

HOSTILE = [
    *(
        "",
        "0:x",
        "a:b",
        "wait:1",
        ":",
        "a b",
        "a\nb",
        "a\n",
        "\n",
        "a\0",
        "a/b",
        "a%b",
        'a"b',
        "a<b",
        "é",
        "a\ud800",
    ),
    *("-a", ".a", "@a", "x" * 201),
]


@given(name=st.from_regex(r"[A-Za-z_][A-Za-z0-9._@+=-]{0,199}", fullmatch=True))
def test_a_plain_job_id_is_taken_as_it_is(name: str) -> None:
    if name in RESERVED_IDS:
        return
    assert check_job_id(name) == name


@given(name=st.text(max_size=220))
def test_a_job_id_is_safe_in_a_redis_key_or_refused(name: str) -> None:
    try:
        check_job_id(name)
    except ConfigurationError:
        return
    assert re.fullmatch(r"[A-Za-z0-9._@+=-]{1,200}", name)
    assert not name.isdigit()


@pytest.mark.parametrize("name", [*HOSTILE, None, 7, b"a", ["a"], "x" * 10_000])
def test_a_job_id_that_could_break_a_queue_is_refused_and_quoted_in_short(name: Any) -> None:
    with pytest.raises(ConfigurationError, match="job_id must be") as refusal:
        check_job_id(name)
    assert len(str(refusal.value)) < 250
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", ["0", "7", "123456789012345678901234567890"])
def test_ids_of_digits_alone_are_bullmqs_own(name: str) -> None:
    with pytest.raises(ConfigurationError, match="all digits"):
        check_job_id(name)


@pytest.mark.parametrize("name", sorted(RESERVED_IDS))
def test_a_key_of_the_queue_itself_is_no_job_id(name: str) -> None:
    with pytest.raises(ConfigurationError, match="key of the queue itself"):
        check_job_id(name)


def test_every_key_bullmq_gives_a_queue_is_reserved() -> None:
    from bullmq.queue_keys import QueueKeys

    keys = QueueKeys("bull").getKeys("q")
    assert {key for key in keys if key} <= RESERVED_IDS


@pytest.mark.parametrize("name", ["emailQueue", "a", "x" * 200, "my queue", "{tag}mail", "a.b-c_d@e", "0"])
def test_a_plain_queue_name_is_taken(name: str) -> None:
    assert check_queue_name("queue_name", name) == name


def test_a_queue_name_of_the_enumeration_becomes_a_plain_text() -> None:
    checked = check_queue_name("queue_name", QUEUE_NAMES.EMAIL)
    assert type(checked) is str
    assert checked == "emailQueue"


@pytest.mark.parametrize(
    "name", ["", "a:b", "a\nb", "a\n", "a\0", "a/b", "-a", " a", "é", "x" * 201, "x" * 10_000, None, 7, b"a"]
)
def test_a_queue_name_that_could_break_a_key_is_refused_naming_the_argument(name: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^dead_letter_queue_name must be") as refusal:
        check_queue_name("dead_letter_queue_name", name)
    assert len(str(refusal.value)) < 250
