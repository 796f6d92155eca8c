"""A suspect runs with no neighbours."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_worker.quarantine import Quarantine


class Floor:
    """A quarantine, and what happened on it."""

    def __init__(self) -> None:
        self.quarantine = Quarantine()
        self.started: list[str] = []
        self.released = 0
        self.quarantine.subscribe(self._count)

    def _count(self) -> None:
        self.released += 1

    def isolate(self, suspect: str) -> None:
        self.quarantine.isolate(suspect, partial(self._start, suspect))

    def _start(self, suspect: str) -> None:
        self.started.append(suspect)
        self.quarantine.entered(suspect)


@pytest.fixture
def floor() -> Floor:
    return Floor()


def test_on_an_empty_floor_a_suspect_starts_at_once(floor: Floor) -> None:
    floor.isolate("suspect")
    assert floor.started == ["suspect"]
    assert floor.quarantine.suspect == "suspect"


def test_a_suspect_waits_until_the_last_neighbour_has_left(floor: Floor) -> None:
    for run in ("a", "b"):
        floor.quarantine.entered(run)
    floor.isolate("suspect")
    floor.quarantine.left("a")
    assert floor.started == []
    floor.quarantine.left("b")
    assert floor.started == ["suspect"]


def test_jobs_may_be_taken_again_once_the_suspect_has_ended(floor: Floor) -> None:
    floor.isolate("suspect")
    assert floor.released == 0
    floor.quarantine.left("suspect")
    assert floor.quarantine.suspect is None
    assert floor.released == 1


def test_a_suspect_given_back_before_it_began_does_not_start_later(floor: Floor) -> None:
    floor.quarantine.entered("a")
    floor.isolate("suspect")
    floor.quarantine.left("suspect")
    assert floor.released == 1
    floor.quarantine.left("a")
    assert floor.started == []


def test_runs_that_come_and_go_without_a_suspect_release_nothing(floor: Floor) -> None:
    floor.quarantine.entered("a")
    floor.quarantine.left("a")
    floor.quarantine.left("a")
    assert (floor.released, floor.quarantine.suspect) == (0, None)


@given(steps=st.lists(st.integers(0, 4), max_size=30))
def test_a_suspect_never_runs_beside_another_and_is_never_forgotten(steps: list[int]) -> None:
    floor = Floor()
    neighbours: set[int] = set()
    for number, step in enumerate(steps):
        suspect = floor.quarantine.suspect
        if suspect is None and step < 2:
            neighbours.add(number)
            floor.quarantine.entered(number)
        elif suspect is None and step == 2:
            floor.isolate(f"suspect {number}")
        elif step == 3 and neighbours:
            floor.quarantine.left(neighbours.pop())
        elif suspect in floor.started:
            floor.quarantine.left(suspect)
        if suspect := floor.quarantine.suspect:
            assert (suspect in floor.started) == (not neighbours)
    for number in list(neighbours):
        floor.quarantine.left(number)
    if suspect := floor.quarantine.suspect:
        assert suspect in floor.started
