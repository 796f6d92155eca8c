"""The slots of a queue's worker: lent while a run waits, taken back, and never more in use than jobs may run."""

from __future__ import annotations

import pytest

from auth_worker.engine.slots import Slots
from support.scripted_broker import ScriptedBroker


@pytest.fixture
async def slots() -> Slots:
    return Slots(ScriptedBroker(), "worker", 2)


async def test_every_slot_has_a_token_of_its_own(slots: Slots) -> None:
    taken = [slots.free.pop(), slots.free.pop()]
    slots.lend()
    renewed = slots.replaced(taken[0])
    tokens = [*taken, *slots.free, renewed]
    assert len(set(tokens)) == 4
    assert all(token.startswith("worker:") for token in tokens)


async def test_a_run_takes_back_a_free_slot_for_the_one_it_has_lent(slots: Slots) -> None:
    slots.free.pop()
    slots.lend()
    assert slots.reclaim()
    assert slots.reclaim()
    assert not slots.reclaim()
    assert slots.free == []


async def test_a_slot_that_is_owed_is_not_free_again(slots: Slots) -> None:
    waiting, other = slots.free.pop(), slots.free.pop()
    slots.lend()
    lent = slots.free.pop()
    assert slots.reclaim(owed=True), "the next one will do"
    assert not slots.release(lent)
    assert slots.release(other)
    assert slots.release(waiting)
    assert len(slots.free) == 2


async def test_a_run_that_comes_after_its_slot_was_given_away_uses_up_another(slots: Slots) -> None:
    first, second = slots.free.pop(), slots.free.pop()
    assert slots.release(slots.replaced(first))
    slots.exceed()
    assert not slots.release(first)
    assert slots.release(second)
    assert len(slots.free) == 2
