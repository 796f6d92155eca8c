"""A suspect that finds no quiet moment runs beside others at last, where no job can fail for it."""

from __future__ import annotations

import pytest

from auth_worker.engine.quarantine import PATIENCE, PATIENCE_WITH_SUSPECTS
from support.quarantine_driver import LEASE_S, Floor


@pytest.fixture
def floor() -> Floor:
    return Floor()


def test_at_last_a_suspect_runs_beside_a_job_that_does_not_end(floor: Floor) -> None:
    floor.start("endless")
    floor.hold("suspect")
    floor.wait(LEASE_S * (PATIENCE - 1))
    assert floor.started == ["endless"]
    floor.wait(LEASE_S * 3)
    assert floor.started == ["endless", "suspect"]


def test_beside_another_suspect_it_runs_much_later(floor: Floor) -> None:
    floor.hold("endless")
    floor.wait(LEASE_S)
    floor.hold("suspect")
    floor.wait(LEASE_S * (PATIENCE_WITH_SUSPECTS - 1))
    assert floor.started == ["endless"]
    floor.wait(LEASE_S * 3)
    assert floor.started == ["endless", "suspect"]


@pytest.mark.parametrize("running_fails_next", [True, False])
def test_it_never_runs_beside_another_suspect_where_one_stall_more_would_fail_one_of_them(
    floor: Floor, running_fails_next: bool
) -> None:
    floor.hold("endless", fails_next=running_fails_next)
    floor.wait(LEASE_S)
    floor.hold("suspect", fails_next=not running_fails_next)
    floor.wait(LEASE_S * PATIENCE_WITH_SUSPECTS * 10)
    assert floor.started == ["endless"]
    assert not floor.quarantine.closed
    floor.end("endless")
    assert floor.started == ["endless", "suspect"]


def test_a_suspect_that_must_wait_does_not_hold_up_those_behind_it(floor: Floor) -> None:
    floor.hold("endless")
    floor.wait(LEASE_S)
    floor.hold("on its last stall", fails_next=True)
    floor.hold("suspect")
    floor.wait(LEASE_S * (PATIENCE_WITH_SUSPECTS + 3))
    assert floor.started == ["endless", "suspect"]


def test_a_recovered_job_that_was_not_held_counts_as_a_suspect_too(floor: Floor) -> None:
    floor.start("in a process of its own")
    floor.quarantine.mark_recovered("in a process of its own", fails_next=True)
    floor.hold("suspect")
    floor.wait(LEASE_S * PATIENCE_WITH_SUSPECTS * 10)
    assert floor.started == ["in a process of its own"]
    floor.end("in a process of its own")
    floor.wait(LEASE_S)
    assert floor.started[1:] == ["suspect"]


def test_once_no_suspect_runs_any_more_it_waits_for_the_others_no_longer_than_usual(floor: Floor) -> None:
    floor.hold("endless", fails_next=True)
    floor.wait(LEASE_S)
    floor.start("hour")
    floor.hold("suspect")
    floor.wait(LEASE_S * PATIENCE_WITH_SUSPECTS)
    floor.end("endless")
    assert floor.started == ["endless", "hour"]
    floor.wait(LEASE_S * (PATIENCE + 1))
    assert floor.started == ["endless", "hour", "suspect"]
