"""Names of partitions say what they are and are evenly spread; an id says in which one a job is."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from auth_worker.core.names import check_queue_name
from auth_worker.core.partitions import (
    MOST_PARTITIONS,
    SLOTS,
    Partition,
    check_partitions,
    id_prefix_of,
    name_beside,
    partition_names,
    partition_of_id,
    partition_of_name,
)
from auth_worker.errors import ConfigurationError

queues = st.text(st.characters(exclude_characters=":{}", exclude_categories=("Cc", "Cs")), min_size=1, max_size=20)
numbers = st.integers(2, MOST_PARTITIONS)


@given(queues, queues, numbers)
def test_a_name_says_of_which_queue_it_is_which_partition(queue: str, dead: str, partitions: int) -> None:
    names = partition_names(queue, partitions)
    assert [partition_of_name(name) for name in names] == [
        Partition(queue, queue, partitions, number) for number in range(partitions)
    ]
    assert all(check_queue_name("queue", name) for name in names)
    if dead != queue:
        letters = partition_names(dead, partitions, queue)
        assert [name_beside(name, dead) for name in names] == letters
        assert [partition_of_name(name) for name in letters] == [
            Partition(dead, queue, partitions, number) for number in range(partitions)
        ]
        assert [key_slot(f"bull:{name}:wait".encode()) for name in names] == [
            key_slot(f"bull:{name}:wait".encode()) for name in letters
        ], "a job and its dead letter are on one node"


@pytest.mark.parametrize("nodes", [2, 3, 6])
def test_partitions_are_as_many_on_each_node_of_a_cluster(nodes: int) -> None:
    slots = [key_slot(name.encode()) for name in partition_names("mailQueue", 12)]
    assert Counter(slot * nodes // SLOTS for slot in slots) == dict.fromkeys(range(nodes), 12 // nodes)


def test_names_and_places_stay_what_they_are() -> None:
    """What is stored must be found by the next release, and by producers in other languages."""
    assert partition_names("mailQueue", 3) == ["{mailQueue~3-2}", "{mailQueue~3-0}", "{mailQueue~3-1}"]
    assert partition_names("mailDead", 2, "mailQueue") == ["{mailQueue~2-0}mailDead", "{mailQueue~2-2}mailDead"]
    assert [partition_of_id(one, 6) for one in ("welcome-7", "mail-0", "mail-1", "", "名前")] == [5, 4, 4, 0, 0]
    assert id_prefix_of("user-7") == "{9745e321}"
    assert partition_names("mailQueue", 1) == ["mailQueue"]


@given(st.text(), st.text(), queues, numbers)
def test_ids_with_the_same_text_in_braces_are_in_one_partition(a: str, b: str, tag: str, partitions: int) -> None:
    a, b = a.replace("{", ""), b.replace("{", "")
    assert partition_of_id(f"{a}{{{tag}}}{b}", partitions) == partition_of_id(tag, partitions)
    assert 0 <= partition_of_id(a, partitions) < partitions


@pytest.mark.parametrize(
    "name",
    [
        "mailQueue",
        "{mailQueue}",
        "{mail~3-9}",
        "{mail~1-0}",
        "{mail~0-0}",
        "{mail~101-0}",
        "{~3-0}",
        "{mail~03-0}",
    ],
)
def test_any_other_name_is_a_queue_by_itself(name: str) -> None:
    assert partition_of_name(name) is None
    assert name_beside(name, "dead") == "dead"


@pytest.mark.parametrize(
    ("queue", "partitions", "prefix", "problem"),
    [
        ("mail", 0, "bull", "partitions must be a whole number between 1 and 100, not 0"),
        ("mail", True, "bull", "partitions must be a whole number"),
        ("mail", "6", "bull", "partitions must be a whole number"),
        ("mail", 101, "bull", "not 101"),
        ("mail", 2, "{bull}", "would put all of them on one node"),
        ("{mail}", 2, "bull", "must have no braces"),
        ("m" * 995, 2, "bull", "the name of each partition must be 1 to 1000 characters"),
    ],
)
def test_what_cannot_be_spread_is_refused(queue: str, partitions: object, prefix: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem.replace("(", r"\(")):
        check_partitions(queue, partitions, prefix)
    assert check_partitions(queue, 1, prefix) == 1
