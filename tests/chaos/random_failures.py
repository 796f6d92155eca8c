"""Random failures: mixed load on three workers and a broker with an AOF, while everything breaks at random.

What is done is drawn from a generator with a seed, so that the same seed tries the same faults in the same order;
when exactly they hit is up to the machine.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auth_worker import JobQueue
from chaos.harness import ChaosHarness
from chaos.worker_options import QUEUE
from chaos.worker_pool import ForkServer, Worker
from support.proxy import Proxy
from support.servers import Server

TURN_S = 0.25
WORKERS = 3
CONFIG = {"concurrency": 8, "lock_duration": 1500, "stalled_interval": 300}
WEIGHTS = {
    "kill -9 a worker": 8,
    "stop a worker": 5,
    "kill -9 the broker": 2,
    "half-open connections": 3,
    "cut connections": 3,
    "lose a reply": 3,
    "freeze a worker": 2,
    "a job that kills its process": 2,
    "a malformed payload": 2,
    "forget the scripts": 1,
    "kill clients": 1,
}
"""How often each fault comes, in percent of the turns."""
WORKS: tuple[tuple[int, dict[str, Any]], ...] = (
    (60, {"s": 0.002}),
    (20, {"s": 0.05}),
    (4, {"s": 1.0}),
    (6, {"do": "fail", "times": 1}),
    (3, {"do": "fail", "times": 9}),
    (4, {"do": "die"}),
    (2, {"do": "block", "s": 0.2}),
    (1, {"do": "thread", "s": 0.5}),
)


@dataclass(frozen=True)
class Report:
    """What a run of random failures did, and its results. Only ``violations`` are wrong."""

    seed: int
    seconds: float
    jobs: int
    runs: int
    faults: Counter[str]
    completed: int
    dead: int
    violations: list[str]

    def __str__(self) -> str:
        faults = "\n".join(f"  {count:5} x {name}" for name, count in sorted(self.faults.items()))
        kinds = Counter(_kind(violation) for violation in self.violations)
        wrong = "\n".join(f"  {violation}" for violation in self.violations[:40])
        return (
            f"seed {self.seed}, {self.seconds:.0f} s\n"
            f"{self.jobs} jobs accepted, {self.runs} runs: {self.completed} completed, {self.dead} dead\n"
            f"faults:\n{faults}\n"
            f"lost: {kinds['lost']}, doubled: {kinds['doubled']}, overlapping: {kinds['overlapping']}, "
            f"other violations: {kinds['other']}\n{wrong}"
        )


class RandomFailures:
    """One run of random failures. ``intensity`` multiplies the weights of all faults."""

    def __init__(self, fork_server: ForkServer, directory: Path, seed: int, intensity: float = 1.0) -> None:
        self._random = random.Random(seed)
        self._seed = seed
        self._fork_server = fork_server
        self._directory = directory
        self._intensity = intensity
        self._faults: Counter[str] = Counter()
        self._side: set[asyncio.Task[Any]] = set()
        self._server = Server(directory, appendonly=True, config={"appendfsync": "always"})
        self._harness: ChaosHarness
        self._proxy: Proxy

    async def run(self, seconds: float) -> Report:
        """Let it run for so long, then calm down, wait for quiescence and judge."""
        began = time.monotonic()
        with self._server:
            harness = ChaosHarness(self._fork_server, self._directory, self._server.url)
            async with harness, harness.behind_a_proxy() as proxy:
                self._harness, self._proxy = harness, proxy
                await harness.jobs.close()
                harness.jobs = JobQueue(QUEUE, proxy.url)
                async with harness.workers.kept_at(WORKERS, url=proxy.url, config=CONFIG):
                    while time.monotonic() - began < seconds:
                        await self._turn()
                    violations = await self._calm()
                return await self._report(time.monotonic() - began, violations)

    async def _turn(self) -> None:
        """Add some jobs, break something perhaps, and let time pass."""
        works = self._random.choices([w for _, w in WORKS], [p for p, _ in WORKS], k=self._random.randint(0, 10))
        if works:
            self._aside(self._harness.add(*works, attempts=3))
        names = list(WEIGHTS)
        weights = [weight * self._intensity for weight in WEIGHTS.values()]
        rest = max(100 - sum(weights), 0)
        name = self._random.choices([*names, ""], [*weights, rest])[0]
        if name:
            self._faults[name] += 1
            await self._act(name)
        await asyncio.sleep(TURN_S)

    async def _calm(self) -> list[str]:
        """Mend what is broken, have every add answered, and wait for quiescence."""
        self._proxy.heal()
        if self._side:
            await asyncio.wait(self._side)
        problems = [f"adding failed: {e!r}" for task in self._side if (e := task.exception())]
        return problems + await self._harness.verdict(within=60, faults_excuse=True)

    async def _report(self, seconds: float, violations: list[str]) -> Report:
        run_log, final_states = self._harness.run_log, await self._harness.final_states()
        return Report(
            seed=self._seed,
            seconds=seconds,
            jobs=len(run_log.accepted()),
            runs=len(run_log.runs()),
            faults=self._faults,
            completed=len(final_states.completed),
            dead=len(final_states.letters),
            violations=violations,
        )

    async def _act(self, name: str) -> None:
        actions: dict[str, Callable[[], Awaitable[None]]] = {
            "kill -9 a worker": self._kill,
            "stop a worker": self._stop,
            "kill -9 the broker": self._kill_broker,
            "half-open connections": self._half_open,
            "cut connections": self._cut,
            "lose a reply": self._lose_a_reply,
            "freeze a worker": self._freeze,
            "a job that kills its process": self._poison,
            "a malformed payload": self._malformed,
            "forget the scripts": self._forget_scripts,
            "kill clients": self._kill_clients,
        }
        await actions[name]()

    def _someone(self) -> Worker | None:
        alive = self._harness.workers.alive
        return self._random.choice(alive) if alive else None

    async def _kill(self) -> None:
        if worker := self._someone():
            await worker.kill()

    async def _stop(self) -> None:
        if worker := self._someone():
            worker.signal(signal.SIGTERM)

    async def _kill_broker(self) -> None:
        self._fault()
        self._server.kill()
        await asyncio.sleep(self._random.uniform(0, 0.5))
        self._server.start()
        self._fault()

    async def _half_open(self) -> None:
        self._fault()
        self._proxy.half_open()

    async def _cut(self) -> None:
        self._fault()
        self._proxy.cut()

    async def _lose_a_reply(self) -> None:
        self._fault()
        self._proxy.swallow_reply_to = b"EVALSHA"
        await asyncio.sleep(0.05)
        self._proxy.swallow_reply_to = None

    async def _freeze(self) -> None:
        if worker := self._someone():
            worker.freeze()
            self._aside(self._thaw(worker, self._random.uniform(0.5, 3)))

    async def _thaw(self, worker: Worker, seconds: float) -> None:
        await asyncio.sleep(seconds)
        worker.thaw()

    async def _poison(self) -> None:
        self._aside(self._harness.add({"do": "kill the process", "s": 0.02}))

    async def _malformed(self) -> None:
        self._aside(self._harness.add_malformed())

    async def _forget_scripts(self) -> None:
        await self._harness.redis.script_flush()

    async def _kill_clients(self) -> None:
        self._fault()
        await self._harness.redis.client_kill_filter(_type="normal", skipme=True)

    def _fault(self) -> None:
        self._harness.run_log.write("fault")

    def _aside(self, work: Any) -> None:
        self._side.add(asyncio.ensure_future(work))


def _kind(violation: str) -> str:
    for text, kind in (("is lost", "lost"), ("ran again", "doubled"), ("at the same time", "overlapping")):
        if violation.endswith(text) or text in violation:
            return kind
    return "other"
