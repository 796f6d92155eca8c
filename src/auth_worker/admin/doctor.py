"""The doctor: examines the broker and its queues for what loses or delays jobs, and names the remedy."""

from __future__ import annotations

import time
from collections.abc import Sequence

from auth_worker.admin.doctor_queues import queue_findings
from auth_worker.admin.doctor_schedulers import scheduler_findings
from auth_worker.admin.models import Diagnosis
from auth_worker.admin.queues import QueueOperations
from auth_worker.core.ports.operator import Examination, OperatorBroker
from auth_worker.core.report import ACL_REMEDY, Finding
from auth_worker.errors import BrokerError, BrokerUnavailableError

SLOW_S, SLUGGISH_S = 0.1, 0.02
SKEW_FAIL_S, SKEW_WARN_S = 30.0, 2.0
PINGS = 20


class Doctor:
    """Examines ``broker`` and its queues."""

    def __init__(self, broker: OperatorBroker, queues: QueueOperations) -> None:
        self._broker = broker
        self._queues = queues

    async def examine(self) -> Diagnosis:
        """Run every check. Raises ``BrokerUnavailableError`` if the broker cannot be reached."""
        findings: list[Finding] = []
        examinations = {
            **self._broker.examinations(),
            "latency": self._latency,
            "clock": self._clock,
            "look at queues": self._look_at_queues,
        }
        for name, examination in examinations.items():
            findings += await _attempt(name, examination, others_answer=_some_node_answers(findings))
        return Diagnosis(
            healthy=all(finding.level != "fail" for finding in findings),
            broker=self._broker.address,
            findings=findings,
            acl=self._broker.acl_rule(),
        )

    async def _latency(self) -> list[Finding]:
        times = []
        for _ in range(PINGS):
            asked = time.perf_counter()
            await self._broker.ping()
            times.append(time.perf_counter() - asked)
        times.sort()
        middle, longest = times[len(times) // 2], times[-1]
        detail = f"round trip {middle * 1000:.2g} ms, at most {longest * 1000:.2g} ms"
        remedy = "run the workers closer to Redis or with more concurrency; look for slow commands: SLOWLOG GET"
        if middle > SLUGGISH_S or longest > SLOW_S:
            return [Finding.warn("latency", detail, remedy)]
        return [Finding.ok("latency", detail)]

    async def _clock(self) -> list[Finding]:
        skew = await self._broker.clock_skew()
        detail = f"Redis is {abs(skew):.3f} s {'ahead of' if skew > 0 else 'behind'} this machine"
        remedy = "synchronize both clocks with NTP (chrony, systemd-timesyncd): delays and ages are off by as much"
        if abs(skew) > SKEW_FAIL_S:
            return [Finding.fail("clock", detail, remedy)]
        if abs(skew) > SKEW_WARN_S:
            return [Finding.warn("clock", detail, remedy)]
        return [Finding.ok("clock", detail)]

    async def _look_at_queues(self) -> list[Finding]:
        found = await self._queues.overview()
        names = [queue.name for queue in found.queues]
        return [
            *await queue_findings(self._broker, found),
            *await scheduler_findings(self._broker, names),
        ]


async def _attempt(name: str, examination: Examination, *, others_answer: bool) -> list[Finding]:
    try:
        return await examination()
    except BrokerUnavailableError as error:
        if not others_answer:
            raise
        return [Finding.warn(name, f"not examined: {error}", "see nodes")]
    except BrokerError as error:
        return [Finding.warn(name, f"not examined: {error}", ACL_REMEDY)]


def _some_node_answers(findings: Sequence[Finding]) -> bool:
    """Whether the nodes of a cluster were examined, of which some answered."""
    return any(finding.name == "nodes" for finding in findings)
