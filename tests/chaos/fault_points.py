"""Points at which a worker process kills itself, and safeguards that are switched off.

The functions of ``auth_worker`` are patched here, in the test's process, so that the package itself carries no
hooks for faults. ``crash_at`` and ``switch_off`` are called before the service is made.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

from auth_worker.brokers.redis import replies as replies_module
from auth_worker.brokers.redis.dead_letters import DeadLetterWriter
from auth_worker.brokers.redis.reconciliation import Reconciliation
from auth_worker.brokers.redis.scripts.loader import script, whole_call
from auth_worker.brokers.redis.wire import discovery as discovery_module
from auth_worker.brokers.redis.wire import link as link_module
from auth_worker.brokers.redis.wire.link import Link
from auth_worker.brokers.redis.wire.resp import pack
from auth_worker.brokers.redis.worker import RedisWorkerBroker
from auth_worker.core.outcome import Complete, Fail, HandBack, Retry
from auth_worker.core.ports.worker import Fetched, Unreadable
from auth_worker.engine import perform as perform_module
from auth_worker.engine.leases import LeaseRenewer
from auth_worker.engine.maintenance import StalledCheck
from auth_worker.engine.quarantine import Quarantine
from auth_worker.engine.reply_recovery import ReplyRecovery
from auth_worker.engine.settlement import Settlement
from auth_worker.process import runtime as runtime_module
from chaos.run_log import RunLog

FINISH_POINTS = (
    "after_fetch",
    "after_run",
    "before_finish_sent",
    "after_finish_sent",
    "after_finish_reply",
)
LETTER_POINTS = ("before_letter_sent", "half_a_letter_sent", "after_letter_sent", "after_letter_reply")
HAND_BACK_POINTS = ("before_hand_back_sent", "after_hand_back_sent")
SAFEGUARDS = (
    "lease renewal",
    "stalled check",
    "hand-back",
    "guard of the letter",
    "recovery of lost fetches",
    "insisting on a result",
    "quarantine",
    "decoding",
    "reconciliation",
    "leaving a demoted primary",
    "majority of the sentinels",
)


def crash_at(point: str, nth: int, run_log: RunLog) -> None:
    """Kill this process with SIGKILL when it comes to ``point`` for the ``nth`` time."""
    left = nth

    def passed() -> None:
        nonlocal left
        left -= 1
        if not left:
            run_log.write("died", pid=os.getpid(), point=point)
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(10)  # the signal is on its way, and nothing may happen any more

    match point:
        case "after_fetch":
            _crash_after_fetch(passed)
        case "after_run":
            _crash_after_run(passed)
        case "half_a_letter_sent":
            _crash_in_transaction(passed)
        case _:
            _crash_at_settle(point, passed)


def _crash_after_fetch(passed: Callable[[], None]) -> None:
    original = RedisWorkerBroker.fetch

    def fetch(broker: RedisWorkerBroker, token: str, on_fetched: Callable[[Any], None]) -> None:
        def received(answer: Any) -> None:
            if isinstance(answer, Fetched | Unreadable):
                passed()
            on_fetched(answer)

        original(broker, token, received)

    _replace(RedisWorkerBroker, "fetch", fetch)


def _crash_after_run(passed: Callable[[], None]) -> None:
    original = perform_module.perform

    async def perform(*args: Any, **options: Any) -> Any:
        outcome = await original(*args, **options)
        passed()
        return outcome

    _replace(runtime_module, "perform", perform)


def _crash_in_transaction(passed: Callable[[], None]) -> None:
    original = Link.send_transaction

    def send_transaction(link: Link, commands: list[bytes], on_reply: Callable[[Any], None]) -> None:
        link.send(pack("MULTI"), lambda reply: None)
        link.send(commands[0], lambda reply: None)
        _flush(link)
        passed()
        link.send(pack("DISCARD"), lambda reply: None)
        original(link, commands, on_reply)

    _replace(Link, "send_transaction", send_transaction)


def _crash_at_settle(point: str, passed: Callable[[], None]) -> None:
    original = RedisWorkerBroker.settle
    moment, _, rest = point.partition("_")
    what = rest.rpartition("_")[0]

    def concerned(outcome: Any, letter: Any) -> bool:
        if what == "letter":
            return letter is not None
        return isinstance(outcome, HandBack if what == "hand_back" else Complete | Fail | Retry)

    def settle(
        broker: RedisWorkerBroker, run: Any, outcome: Any, now: int, letter: Any, fetch_next: bool, told: Any
    ) -> None:
        if not concerned(outcome, letter):
            original(broker, run, outcome, now, letter, fetch_next, told)
            return

        def replied(reply: Any) -> None:
            if point.endswith("reply"):
                passed()
            told(reply)

        if moment == "before":
            passed()
        original(broker, run, outcome, now, letter, fetch_next, replied)
        if point.endswith("sent"):
            _flush(broker._link)
            passed()

    _replace(RedisWorkerBroker, "settle", settle)


def switch_off(safeguard: str) -> None:
    """Let the service do without one of ``SAFEGUARDS``."""
    match safeguard:
        case "lease renewal":
            _replace(LeaseRenewer, "_renew", _nothing)
        case "stalled check":
            _replace(StalledCheck, "run", _nothing)
        case "hand-back":
            _replace(Settlement, "settle", _settle_without_hand_back(Settlement.settle))
        case "guard of the letter":
            _replace(DeadLetterWriter, "add_command", _add_unguarded)
        case "recovery of lost fetches":
            _replace(ReplyRecovery, "_look", _do_not_look)
        case "insisting on a result":
            _replace(Settlement, "_write_until_settled", _give_up)
        case "quarantine":
            _replace(Quarantine, "hold", lambda quarantine, suspect, start, *, fails_next: start())
        case "decoding":
            _replace(replies_module, "InvalidPayloadError", ZeroDivisionError)
        case "reconciliation":
            _replace(Reconciliation, "reconcile", _nothing)
        case "leaving a demoted primary":
            _replace(link_module, "ELSEWHERE_CODES", frozenset())
        case "majority of the sentinels":
            _replace(discovery_module, "_majority", _believe_the_first)
        case _:
            raise ValueError(f"no safeguard is called {safeguard!r}")


async def _nothing(*args: Any) -> int:
    await asyncio.sleep(0)
    return 0


def _settle_without_hand_back(original: Callable[..., None]) -> Callable[..., None]:
    def settle(settlement: Any, run: Any, outcome: Any) -> None:
        if isinstance(outcome, HandBack):
            settlement._ledger.lost(run)
        else:
            original(settlement, run, outcome)

    return settle


async def _do_not_look(replies: Any, tokens: set[str], *, given_away: bool) -> None:
    await asyncio.sleep(0)
    for _ in tokens:
        replies._on_missing()


def _add_unguarded(box: DeadLetterWriter, letter: Any, guard: Any) -> bytes:
    return whole_call((script("addStandardJob"), *box.add_call(letter)))


async def _give_up(settlement: Any, run: Any, outcome: Any, now: int, letter: Any) -> None:
    await asyncio.sleep(0)
    settlement._ledger.lost(run)


async def _believe_the_first(question: Callable[[Any], Any], places: list[Any]) -> Any:
    return await question(places[0])


def _flush(link: Link) -> None:
    """Hand everything to the kernel, which delivers it also for a dead process."""
    if link._connection is not None:
        link._connection._flush()


def _replace(owner: Any, name: str, value: Any) -> None:
    mock.patch.object(owner, name, value).start()
