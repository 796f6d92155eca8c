"""A suspect runs with no neighbours, and the others do not wait for long."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_worker.engine.quarantine import MOST_OF_BOUND, PATIENCE
from support.quarantine_driver import LEASE_S, Floor

FIRST_S = 1.0


@pytest.fixture
def floor() -> Floor:
    return Floor()


def test_on_an_empty_floor_a_suspect_starts_at_once(floor: Floor) -> None:
    floor.hold("suspect")
    assert floor.started == ["suspect"]
    assert floor.quarantine.closed


def test_a_suspect_waits_until_the_last_neighbour_has_left(floor: Floor) -> None:
    floor.start("a")
    floor.start("b")
    floor.hold("suspect")
    floor.end("a")
    assert floor.started == ["a", "b"]
    floor.end("b")
    assert floor.started[-1] == "suspect"


def test_jobs_may_be_taken_again_once_the_suspect_has_ended(floor: Floor) -> None:
    floor.hold("suspect")
    assert floor.opened == 0
    floor.end("suspect")
    assert (floor.quarantine.closed, floor.opened) == (False, 1)


def test_a_long_job_stops_the_others_for_one_window_and_never_again(floor: Floor) -> None:
    floor.start("hour")
    floor.hold("suspect")
    floor.wait(FIRST_S)
    assert not floor.quarantine.closed
    opened = floor.opened
    for _ in range(100):
        floor.wait(0.5)
        assert not floor.quarantine.closed
    assert (floor.opened, floor.started) == (opened, ["hour"])
    floor.end("hour")
    assert floor.started == ["hour", "suspect"]


def test_windows_grow_until_jobs_of_some_seconds_can_end(floor: Floor) -> None:
    floor.start("0")
    floor.hold("suspect")
    number, began = 0, 0.0
    while "suspect" not in floor.started:
        floor.wait(0.25)
        if not floor.running and not floor.quarantine.closed:
            number += 1
            began = floor.now
            floor.start(str(number))
        elif floor.running and floor.now - began >= 3:
            floor.end(str(number))
        assert floor.now < LEASE_S * PATIENCE, "it found a quiet moment"
    assert floor.running == {"suspect"}


def test_a_suspect_that_runs_for_long_lets_others_in_after_half_its_lease(floor: Floor) -> None:
    floor.hold("suspect")
    floor.wait(LEASE_S / 2)
    assert not floor.quarantine.closed
    assert floor.running == {"suspect"}
    floor.end("suspect")
    assert not floor.quarantine.closed


def test_others_have_a_turn_as_long_between_suspects(floor: Floor) -> None:
    for number in range(5):
        floor.hold(f"suspect {number}")
    for number in range(5):
        assert floor.started[-1] == f"suspect {number}"
        floor.wait(2)
        floor.end(f"suspect {number}")
        assert not floor.quarantine.closed
        floor.wait(1.9)
        assert not floor.quarantine.closed
        floor.wait(0.2)
    assert len(floor.started) == 5


def test_what_comes_while_the_process_is_closed_is_kept_and_starts_when_it_opens(floor: Floor) -> None:
    floor.hold("suspect")
    floor.quarantine.keep("late", partial(floor.start, "late"))
    floor.quarantine.keep("gone", partial(floor.start, "gone"))
    floor.end("gone")
    assert floor.started == ["suspect"]
    floor.end("suspect")
    assert floor.started == ["suspect", "late"]


def test_a_suspect_given_back_before_it_began_does_not_start_later(floor: Floor) -> None:
    floor.start("a")
    floor.hold("suspect")
    floor.end("suspect")
    assert not floor.quarantine.closed
    floor.end("a")
    assert floor.started == ["a"]


def test_a_suspect_without_a_slot_lets_the_others_go_on(floor: Floor) -> None:
    floor.slots = False
    floor.hold("suspect")
    assert not floor.quarantine.closed
    floor.slots = True
    floor.wait(1)
    assert floor.started == ["suspect"]


def test_a_suspect_that_finds_no_slot_for_long_does_not_keep_closing_the_process(floor: Floor) -> None:
    floor.start("hour")
    floor.slots = False
    floor.hold("suspect")
    floor.wait(LEASE_S * PATIENCE)
    opened = floor.opened
    floor.wait(LEASE_S * 10)
    assert floor.opened - opened <= 10
    floor.slots = True
    floor.end("hour")
    floor.wait(LEASE_S)
    assert floor.started == ["hour", "suspect"]


def test_the_shortest_lease_of_all_queues_is_the_bound(floor: Floor) -> None:
    floor.quarantine.subscribe(lambda: None, 1.0)
    floor.quarantine.subscribe(lambda: None, 100.0)
    floor.hold("suspect")
    floor.wait(0.5)
    assert not floor.quarantine.closed


def test_runs_that_come_and_go_without_a_suspect_open_nothing(floor: Floor) -> None:
    floor.start("a")
    floor.end("a")
    floor.end("a")
    assert (floor.opened, floor.quarantine.closed) == (0, False)
    assert floor.quarantine.closed_s == 0


@given(steps=st.lists(st.tuples(st.integers(0, 4), st.floats(0.01, 3)), max_size=60))
def test_no_suspect_has_a_neighbour_nobody_waits_beyond_the_lease_and_everyone_runs(
    steps: list[tuple[int, float]],
) -> None:
    """A suspect may get neighbours once it has run for nearly half its lease."""
    floor = Floor()
    quarantine = floor.quarantine
    came: list[str] = []
    held: dict[str, float] = {}
    began: dict[str, float] = {}

    def start(run: str) -> bool:
        if run in held and floor.now - held[run] < LEASE_S * PATIENCE:
            assert not floor.running
        elif run in held and (suspects := [each for each in floor.running if each in held]):
            assert not any(int(each.split()[1]) % 2 == 0 for each in [run, *suspects])
        elif run not in held:
            assert not quarantine.closed
            assert all(
                floor.now - began[each] > LEASE_S * MOST_OF_BOUND - 1e-6 for each in floor.running & held.keys()
            )
        began[run] = floor.now
        return floor.start(run)

    for number, (step, seconds) in enumerate(steps):
        match step:
            case 0 | 1:
                came.append(f"job {number}")
                if quarantine.closed:
                    quarantine.keep(came[-1], partial(start, came[-1]))
                else:
                    start(came[-1])
            case 2:
                came.append(f"suspect {number}")
                held[came[-1]] = floor.now
                quarantine.hold(came[-1], partial(start, came[-1]), fails_next=number % 2 == 0)
            case 3 if floor.running:
                floor.end(min(floor.running))
            case _:
                floor.wait(seconds)
        assert quarantine.closed_s < LEASE_S
    for _ in range(10 * len(came) + 10):
        for run in sorted(floor.running):
            floor.end(run)
        floor.wait(LEASE_S)
    assert sorted(floor.started) == sorted(came)
