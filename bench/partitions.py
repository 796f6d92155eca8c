"""``python -m bench.partitions``: what a queue with partitions costs the nodes of a Redis Cluster, and its worker.

One process works off no-op jobs, alternately from a queue of one node, and from one that is spread over three. The
CPU times are those of the main thread of each node, and of the worker.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from auth_worker import Job, JobQueue, Settings, WorkerService
from bench.server import Server, binaries, free_port

NODES, PARTITIONS, JOBS, SLOTS = 3, 6, 20_000, 16384
FORMED_WITHIN_S = 20.0


class Cost(NamedTuple):
    """Jobs a second, and CPU time a job (us) of the worker and of each node."""

    rate: float
    worker_us: float
    nodes_us: list[float]

    @property
    def redis_us(self) -> float:
        """That of all nodes together."""
        return sum(self.nodes_us)


@contextmanager
def cluster(name: str) -> Iterator[list[Server]]:
    """Start the primaries of a cluster, each with an equal share of the slots."""
    with ExitStack() as stack:
        nodes, buses = [], []
        for _ in range(NODES):
            buses.append(free_port())
            server = Server(name, binaries()[name], cluster_enabled="yes", cluster_port=buses[-1])
            nodes.append(stack.enter_context(server))
        for number, node in enumerate(nodes):
            first, after = number * SLOTS // NODES, (number + 1) * SLOTS // NODES
            node.client.cluster("ADDSLOTSRANGE", first, after - 1)
            nodes[0].client.cluster("MEET", "127.0.0.1", node.port, buses[number])
        deadline = time.monotonic() + FORMED_WITHIN_S
        while not all(_is_formed(node) for node in nodes):
            if time.monotonic() > deadline:
                raise TimeoutError("the nodes did not form a cluster")
            time.sleep(0.1)
        yield nodes


async def measure(nodes: list[Server], partitions: int, concurrency: int, jobs: int) -> Cost:
    """Work off so many jobs of a new queue."""
    for node in nodes:
        node.client.flushall()
    url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)
    settings = Settings(redis_url=url, http_port=None, log_level="ERROR")
    name = "{bench}" if partitions == 1 else "bench"
    async with JobQueue(name, settings=settings, partitions=partitions) as queue:
        await queue.add_bulk({"name": "n", "opts": {"remove_on_complete": True}} for _ in range(jobs))
    done, left = asyncio.Event(), jobs

    async def consumer(job: Job) -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set()

    service = WorkerService(settings=settings)
    config = {"concurrency": concurrency}
    service.register_processor(queue_name=name, processor=consumer, worker_config=config, partitions=partitions)
    before = [node.cpu_us() for node in nodes]
    own, began = time.process_time(), time.perf_counter()
    async with service:
        await done.wait()
        rate = jobs / (time.perf_counter() - began)
    worker_us = (time.process_time() - own) * 1e6 / jobs
    return Cost(rate, worker_us, [(node.cpu_us() - used) / jobs for node, used in zip(nodes, before, strict=True)])


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.partitions", description=__doc__)
    parser.add_argument("--rounds", metavar="N", type=int, default=3)
    parser.add_argument("--jobs", metavar="N", type=int, default=JOBS)
    arguments = parser.parse_args()
    console = Console()
    name = "redis" if "redis" in binaries() else "valkey"
    table = Table(title=f"medians of {arguments.rounds} rounds, no-op jobs", title_justify="left")
    for column in ("partitions", "concurrency", "jobs/s", "worker, us", "each node, us", "all nodes, us"):
        table.add_column(column, justify="right")
    ways = [(1, 60), (PARTITIONS, 60), (1, 180), (PARTITIONS, 180)]
    with cluster(name) as nodes:
        console.print(f"{nodes[0].version}, {NODES} primaries")
        costs: dict[tuple[int, int], list[Cost]] = {way: [] for way in ways}
        for _ in range(arguments.rounds):
            for way in ways:
                costs[way].append(asyncio.run(measure(nodes, *way, arguments.jobs)))
    for (partitions, concurrency), found in costs.items():
        middle = sorted(found, key=lambda cost: cost.redis_us)[len(found) // 2]
        rate = statistics.median(cost.rate for cost in found)
        worker_us = statistics.median(cost.worker_us for cost in found)
        each_node = " ".join(f"{us:.1f}" for us in middle.nodes_us)
        table.add_row(
            *(f"{partitions}", f"{concurrency}", f"{rate:,.0f}", f"{worker_us:.1f}"),
            *(each_node, f"{middle.redis_us:.1f}"),
        )
    console.print(table)
    return 0


def _is_formed(node: Server) -> bool:
    """Whether it knows the others, and that each slot is served."""
    info = node.client.cluster("INFO")
    return bool(info["cluster_state"] == "ok" and int(info["cluster_known_nodes"]) == NODES)


if __name__ == "__main__":
    raise SystemExit(main())
