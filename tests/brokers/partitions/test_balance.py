"""Every partition with jobs gets slots: the one with the fewest is asked next, and none starves."""

from __future__ import annotations

import pytest

from auth_worker.brokers.partitions.balance import PROBE_S, PartitionBalance


class Clock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The clock of the balance."""
    return Clock()


@pytest.fixture
def balance(clock: Clock) -> PartitionBalance:
    """Three partitions for four slots."""
    return PartitionBalance(3, 4, clock)


def up(number: int) -> bool:
    """Every node is up."""
    return True


def test_slots_are_spread_evenly(balance: PartitionBalance) -> None:
    taken = []
    for token in "abcd":
        number = balance.next(up)
        assert number is not None
        assert balance.take(number, token) == (token == "d"), "all slots are in use with the fourth"
        taken.append(number)
    assert taken == [0, 1, 2, 0]


def test_one_slot_goes_round(balance: PartitionBalance) -> None:
    taken = []
    for _ in range(6):
        number = balance.next(up)
        assert number is not None
        balance.take(number, "only")
        balance.leave("only")
        taken.append(number)
    assert taken == [0, 1, 2, 0, 1, 2]


def test_a_partition_that_is_away_or_empty_is_not_asked(balance: PartitionBalance) -> None:
    balance.found_empty(0, 0)
    assert balance.next(lambda number: number != 1) == 2
    assert balance.next(lambda number: False) is None
    balance.may_have_jobs(0)
    assert balance.next(lambda number: number == 0) == 0
    assert balance.empty() == []


def test_a_waiting_partition_without_a_slot_gets_one_slot(balance: PartitionBalance) -> None:
    for token in "abcd":
        balance.take(0, token)
    assert balance.is_unfair(up), "of partition 1"
    assert balance.is_unfair(up), "of partition 2"
    assert not balance.is_unfair(up), "both are promised one"
    balance.take(1, "a")
    balance.take(2, "b")
    assert not balance.is_unfair(up)
    balance.take(0, "a")
    assert balance.is_unfair(up), "partition 1 has none again"


def test_a_promise_that_nobody_kept_is_made_again(balance: PartitionBalance, clock: Clock) -> None:
    for token in "abcd":
        balance.take(0, token)
    assert balance.is_unfair(lambda number: number < 2)
    assert not balance.is_unfair(lambda number: number < 2)
    clock.now += PROBE_S
    assert balance.is_unfair(lambda number: number < 2)


def test_an_empty_partition_is_probed_now_and_then_while_others_are_busy(
    balance: PartitionBalance, clock: Clock
) -> None:
    balance.take(0, "a")
    balance.take(1, "b")
    balance.found_empty(2, 0)
    assert not balance.is_unfair(up)
    clock.now += PROBE_S
    assert balance.is_unfair(up)
    assert balance.next(up) == 2


def test_a_partition_under_a_rate_limit_is_not_probed_before_its_end(
    balance: PartitionBalance, clock: Clock
) -> None:
    balance.take(0, "a")
    balance.take(1, "b")
    balance.found_empty(2, 5)
    clock.now += 4.9
    assert not balance.is_unfair(up)
    clock.now += 0.1
    assert balance.is_unfair(up)


def test_a_token_counts_once_however_often_it_comes_and_goes(balance: PartitionBalance) -> None:
    balance.take(0, "a")
    balance.hold(0, "a")
    balance.leave("a")
    balance.leave("a")
    assert balance.next(up) == 1, "partition 0 was asked last"
    balance.hold(1, "b")
    assert balance.next(up) == 2
