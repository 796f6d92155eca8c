"""Makes the page of the benchmarks from what ``make bench ARGS="--json docs/benchmarks.json"`` wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "benchmarks.json"
QUIET = 0.9
"""Which share of a core a process must get for its rate to mean anything."""
BUSY = "Rates and times say nothing then; the CPU time of a job can be compared."
INTRODUCTION = """# Benchmarks

Each contender does the same work on the same server, turn by turn in one run, so that what else the machine
does is shared. Repeat it: `make bench ARGS="--json docs/benchmarks.json"`, then `make docs`. `make rivals`
measures plain functions in threads and processes beside Celery, dramatiq and RQ.
"""
GROWTH = """## Why a job costs Redis more when a million wait

Most likely because its keys are no longer in the processor's caches. Each job runs the same commands, and none of
them has more to do: what rises is the look-up of a key that belongs to one job. Time in Redis, us a job, by
`INFO commandstats`, concurrency 50, one run on 2 cores:

| | 1,000 wait | 1,000,000 wait |
|---|---|---|
| the script, all in all | 42.3 | 52.7 |
| `DEL` of the lock, and of the oldest completed job | 4.2 | 8.3 |
| `HMGET`, `HMSET` and `SET`, mostly of the job and its lock | 3.5 | 6.0 |
| `EXISTS` of the job, `SCARD` and `ZCARD` of its children, which it does not have | 0.9 | 2.9 |
| `XADD`, `ZADD`, `LREM` and `RPOPLPUSH` of the queue's own keys | 3.6 | 3.8 |

A waiting job with the data of a mail takes 770 bytes, so a million of them take 770 MB. The machine did not let
its cache misses be counted: the cause is inferred from these times. BullMQ's scripts do the look-ups.
"""
COLUMNS = {
    "rate": ("jobs/s", "{:,.0f}"),
    "p50_ms": ("p50, ms", "{:.2f}"),
    "p99_ms": ("p99, ms", "{:.2f}"),
    "cpu_us": ("CPU, us a job", "{:.1f}"),
    "redis_us": ("Redis CPU, us a job", "{:.1f}"),
    "rss_mb": ("memory, MB", "{:.0f}"),
}


def benchmarks() -> str:
    """The page: the machine, the medians of each scenario, the targets."""
    results = json.loads(RESULTS.read_text())
    about = results["about"]
    share = about["share_of_a_core"]
    versions = ", ".join(f"{name} {version}" for name, version in about["packages"].items())
    parts = [
        INTRODUCTION,
        f"Medians of {results['rounds']} rounds, measured {about['date']} on {about['cpus']} cores, "
        f"{about['system']}, Python {about['python']}; {versions}, Node BullMQ {about['node_bullmq']}.\n",
    ]
    if share < QUIET:
        parts.append(f"!!! warning\n    A process got {share:.0%} of a core while this was measured. {BUSY}\n")
    for server, found in results["servers"].items():
        for scenario, contenders in found["medians"].items():
            parts.append(f"## {scenario}, {server}\n\n{_table(contenders)}\n")
    return "\n".join([*parts, GROWTH])


def _table(contenders: dict[str, dict[str, Any]]) -> str:
    columns = [name for name in COLUMNS if any(name in each for each in contenders.values())]
    head = "| | " + " | ".join(COLUMNS[name][0] for name in columns) + " |"
    lines = [head, "|---" * (len(columns) + 1) + "|"]
    for contender, values in contenders.items():
        cells = [COLUMNS[name][1].format(values[name]) if values.get(name) is not None else "" for name in columns]
        lines.append(f"| {contender} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
