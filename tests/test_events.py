"""The event bus: no listener can affect the others."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from auth_worker import events
from auth_worker.events import BrokerChanged, EventBus, LeaseLost, ProcessorChanged
from auth_worker.messages import WORKER_ERRORS

EVENT = ProcessorChanged("work", "ready")


def test_each_listener_gets_the_events_of_its_type_in_order() -> None:
    bus = EventBus()
    seen: list[Any] = []
    others: list[Any] = []
    bus.subscribe(ProcessorChanged, seen.append)
    bus.subscribe(ProcessorChanged, lambda event: seen.append(event.state))
    bus.subscribe(BrokerChanged, others.append)
    bus.emit(EVENT)
    bus.emit(ProcessorChanged("work", "closed"))
    assert seen == [EVENT, "ready", ProcessorChanged("work", "closed"), "closed"]
    assert others == []


@pytest.mark.parametrize(
    "error", [ValueError("boom"), asyncio.CancelledError(), SystemExit(3), KeyboardInterrupt(), StopIteration()]
)
def test_emit_never_raises_and_calls_the_other_listeners(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    bus = EventBus()
    seen: list[Any] = []

    def broken(event: ProcessorChanged) -> None:
        raise error

    bus.subscribe(ProcessorChanged, broken)
    bus.subscribe(ProcessorChanged, seen.append)
    with caplog.at_level(logging.ERROR):
        bus.emit(EVENT)
    assert seen == [EVENT]
    assert [record.getMessage() for record in caplog.records] == [WORKER_ERRORS.OBSERVER_FAILED]
    assert caplog.records[0].exc_info is not None
    assert caplog.records[0].exc_info[1] is error


def test_a_listener_with_the_wrong_signature_does_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    bus = EventBus()
    bus.subscribe(ProcessorChanged, lambda: None)  # type: ignore[arg-type, misc]
    bus.emit(EVENT)
    assert len(caplog.records) == 1


def test_the_bus_knows_which_events_nobody_wants() -> None:
    bus = EventBus()
    assert not bus.wants(LeaseLost)
    bus.emit(EVENT)
    assert not bus.wants(ProcessorChanged)
    bus.subscribe(LeaseLost, print)
    assert bus.wants(LeaseLost)
    assert not bus.wants(ProcessorChanged)


def test_an_event_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        EVENT.state = "closed"  # type: ignore[misc]


def test_no_event_carries_the_data_of_a_job() -> None:
    kinds = [kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, tuple)]
    fields = {field for kind in kinds for field in getattr(kind, "_fields", ())}
    assert "job_id" in fields
    assert not fields & {"data", "opts", "value", "result", "returnvalue", "job", "trace"}
